/* AWS calls in a few lines: the subnets of a VPC and the security groups that
 * are in it, asked for side by side, with the AWS CLI's configuration.
 *
 *     09_aws_call VPC
 */
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <stdio.h>

static bool show(void *user, const eice_item *item)
{
    const char *const *const fields = (const char *const *)user;
    char id[64];
    char about[128];

    printf("%s %s\n", eice_item_get(item, fields[0], id, sizeof id),
           eice_item_get(item, fields[1], about, sizeof about));
    return true;
}

int main(int argc, char **argv)
{
    static const char *subnet[] = {"subnetId", "cidrBlock"};
    static const char *group[] = {"groupId", "groupName"};
    static eice_call calls[2];
    static eice_params params;
    char memory[512];
    int status = 0;
    int i;

    eice_params_init(&params, memory, sizeof memory);
    eice_param_filter(&params, "vpc-id", eice_str_c(argc > 1 ? argv[1] : ""));
    calls[0].op = EICE_OP_DESCRIBE_SUBNETS;
    calls[0].user = (void *)subnet;
    calls[1].op = EICE_OP_DESCRIBE_GROUPS;
    calls[1].user = (void *)group;
    for (i = 0; i < 2; i++) {
        calls[i].params = params.list;
        calls[i].param_count = params.count;
        calls[i].item = show;
    }
    if (eice_posix_aws(NULL, calls, 2) != EICE_OK) {
        status = 1;
    }
    for (i = 0; i < 2; i++) {
        if (calls[i].error.code != EICE_OK) {
            fprintf(stderr, "%s: %s\n", eice_op_name(calls[i].op),
                    calls[i].error.text);
        }
    }
    return status;
}
