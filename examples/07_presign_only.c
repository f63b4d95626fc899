/* Signature Version 4 alone, offline: prints the presigned URL of a tunnel.
 *
 *     07_presign_only [20260115T093045Z]
 *
 * with keys and region from the environment. The same few lines sign requests
 * to any AWS service; nothing else of the library is compiled in.
 */
#define EICE_NO_SSH
#define EICE_NO_AWS
#define EICE_NO_POSIX
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOST                                                                  \
    "eice-0a1b2c3d4e5f60718.0badcafe.ec2-instance-connect-endpoint."          \
    "eu-west-1.amazonaws.com"
#define LIFE_S 60

static eice_pair pair(const char *name, const char *value)
{
    eice_pair p;

    p.name = eice_str_c(name);
    p.value = eice_str_c(value);
    return p;
}

int main(int argc, char **argv)
{
    static eice_presigned url; /* points into itself: stays where it is */
    eice_sigv4_request r = {0};
    eice_rope_pos at = {0};
    eice_pair query[3];
    eice_pair host[1];
    char part[128];
    size_t n;

    query[0] = pair("instanceConnectEndpointId", "eice-0a1b2c3d4e5f60718");
    query[1] = pair("remotePort", "22");
    query[2] = pair("privateIpAddress", "10.0.1.23");
    host[0] = pair("Host", HOST);
    r.method = eice_str_c("GET");
    r.path = eice_str_c("/openTunnel");
    r.query = query;
    r.query_count = 3;
    r.headers = host;
    r.header_count = 1;
    r.region = eice_str_c(getenv("AWS_REGION"));
    r.service = eice_str_c("ec2-instance-connect");
    r.keys.access_key_id = eice_str_c(getenv("AWS_ACCESS_KEY_ID"));
    r.keys.secret_access_key = eice_str_c(getenv("AWS_SECRET_ACCESS_KEY"));
    r.keys.session_token = eice_str_c(getenv("AWS_SESSION_TOKEN"));
    r.unix_s = (int64_t)time(NULL);
    if (argc > 1
        && !eice_time_amz_parse(eice_str_c(argv[1]), &r.unix_s)) {
        fputs("usage: 07_presign_only [YYYYMMDDThhmmssZ]\n", stderr);
        return 2;
    }
    if (eice_sigv4_presign(&r, LIFE_S, &url) != EICE_OK) {
        fputs("set AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY\n",
              stderr);
        return 1;
    }
    fputs("wss://" HOST, stdout);
    while ((n = eice_rope_read(url.piece, url.count, &at, part, sizeof part))
           > 0) {
        fwrite(part, 1, n, stdout);
    }
    fputs("\n", stdout);
    eice_wipe(&url, sizeof url);
    return 0;
}
