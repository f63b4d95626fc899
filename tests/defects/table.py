"""Deliberate defects: an edit of a copy of one file, and the tests that must then go red.

Each edit replaces `search`, which stands exactly once in the file. A test is a C test program
and a word that its tests' names must contain ("test_ws mask"); "failure ROW": a row of the failure
table, run with a program that has the defect; or "ssh_rekey WORD", run with such an ssh_session.
"""

import collections

Defect = collections.namedtuple("Defect", "name file search replacement tests")

LIBRARY = "eice.h"

DEFECTS = [
    # cryptography
    Defect("ed25519-large-s", LIBRARY,
           "    if (eicei_ed25519_reduce(&k[0], &eicei_ed25519_order) == 0\n        ||",
           "    (void)eicei_ed25519_reduce(&k[0], &eicei_ed25519_order);\n    if (",
           ["test_ed25519"]),
    Defect("signing-key-without-region", LIBRARY,
           "    step[0] = j->r->region;\n", "    step[0] = j->r->service;\n", ["test_sigv4"]),
    Defect("presign-without-token", LIBRARY,
           '        eicei_sigv4_add(j->query, n, "X-Amz-Security-Token", token);\n',
           "        (void)token;\n", ["test_sigv4"]),
    Defect("key-left-on-the-stack", LIBRARY,
           "    eice_wipe(&scalar, sizeof scalar);\n    eice_wipe(&nonce, sizeof nonce);\n"
           "    eice_wipe(prefix, sizeof prefix);\n", "", ["test_wipe ed25519"]),
    Defect("freed-text-not-wiped", LIBRARY,
           "EICE_API void eice_blob_free(eice_blob *b)\n{\n    if (b->ptr != NULL) {\n"
           "        eice_wipe(b->ptr, b->cap);\n",
           "EICE_API void eice_blob_free(eice_blob *b)\n{\n    if (b->ptr != NULL) {\n",
           ["test_base", "test_wipe connection"]),
    Defect("passphrase-state-not-wiped", LIBRARY,
           "    eice_wipe(&p->priv, sizeof p->priv);\n", "", ["test_keys passphrase"]),
    # parsers
    Defect("dns-any-id", LIBRARY, "           && id == leg->id && (m->flags",
           "           && (m->flags", ["test_dns"]),
    Defect("dns-any-name", LIBRARY,
           "&& got_class == EICEI_DNS_CLASS_IN\n"
           "           && eice_str_is_nocase(eice_buf_str(&m->owner), d->priv.asked);",
           "&& got_class == EICEI_DNS_CLASS_IN\n           && d != NULL;", ["test_dns"]),
    Defect("chunk-size-overflows", LIBRARY, "    if (digits > 16 || (digits < line.len",
           "    if ((digits < line.len", ["test_http"]),
    # WebSocket
    Defect("frame-unmasked", LIBRARY,
           "        out[1] = (uint8_t)(0x80u | (unsigned)len);",
           "        out[1] = (uint8_t)len;", ["test_ws", "test_tunnel"]),
    Defect("mask-not-applied", LIBRARY,
           "    eice_ws_mask(p + head_len, len, mask, 0);\n", "", ["test_tunnel"]),
    Defect("mask-always-the-same", LIBRARY,
           "    t->priv.u.frames.masks_used += 4;\n", "", ["test_tunnel"]),
    Defect("masked-frame-accepted", LIBRARY, "    if ((byte & 0x80u) != 0) {",
           "    if (0x80u == 0) {", ["test_ws"]),
    Defect("accept-not-checked", LIBRARY, "    if (eice_str_is(value, accept)) {",
           "    if (value.len > 0) {", ["test_tunnel", "failure upgrade-wrong-accept"]),
    Defect("ping-not-answered", LIBRARY,
           "        eicei_tunnel_control(t, EICE_WS_PONG, payload);\n", "", ["test_tunnel"]),
    Defect("close-code-lost", LIBRARY,
           "    eicei_tunnel_stop(t, code == 1005 ? 0 : code);",
           "    eicei_tunnel_stop(t, 1002);", ["test_tunnel"]),
    Defect("last-bytes-lost", LIBRARY,
           "    (void)eicei_tunnel_send_control(t);\n    if (t->priv.pending > 0) {\n",
           "    (void)eicei_tunnel_send_control(t);\n"
           "    if (t->priv.pending > 0 && t->priv.eof) {\n"
           "        eicei_tunnel_lost(t);\n        return true;\n    }\n"
           "    if (t->priv.pending > 0) {\n",
           ["test_tunnel"]),
    # TLS
    Defect("any-certificate-name", LIBRARY, "br_ssl_client_reset(&s->cc, name, resume);",
           "br_ssl_client_reset(&s->cc, NULL, resume);", ["test_tls", "failure cert-wrong-name"]),
    Defect("expired-accepted", LIBRARY, "(uint32_t)(719528 + now / 86400)",
           "(uint32_t)(719528 + 1 + now / 864000)", ["test_tls", "failure cert-expired"]),
    # SSH and the connect
    Defect("host-key-not-verified", LIBRARY,
           "        eicei_hostkey_fail(c, EICE_E_HOST_KEY_CHANGED, line);\n",
           "        eicei_hostkey_accept(c);\n", ["failure host-key-changed"]),
    Defect("revoked-key-accepted", LIBRARY,
           "        eicei_hostkey_fail(c, EICE_E_HOST_KEY_REVOKED, line);\n",
           "        eicei_hostkey_accept(c);\n", ["failure host-key-revoked"]),
    Defect("final-error-retried", LIBRARY,
           "    case EICE_VERDICT_FINAL:\n        break;\n",
           "    case EICE_VERDICT_FINAL:\n        eicei_call_retry(c, k);\n        return;\n",
           ["failure api-400"]),
    Defect("refusal-not-retried", LIBRARY, "    } else if (cause.retryable\n",
           "    } else if (cause.code == EICE_OK\n", ["failure refused-429-once"]),
    Defect("key-not-pushed-again", LIBRARY,
           "c->now.ms - c->pushed_ms >= life * 2 / 3;",
           "c->now.ms - c->pushed_ms >= life * 200;",
           ["failure key-expired-before-login"]),
    Defect("work-of-caller-waits", LIBRARY, "    if (s->starved || s->asked) {",
           "    if (s->starved) {", ["test_ssh due"]),
    Defect("no-deadline-of-api", LIBRARY,
           "    k->deadline = c->now.ms + eicei_or32(c->o.answer_timeout_ms, 30000);",
           "    k->deadline = UINT64_MAX;", ["failure api-hang"]),
    Defect("busy-wait", LIBRARY, "    return t - now > 3600000u ? 3600000 : (int)(t - now);",
           "    return 0;", ["failure api-hang-idle"]),
    Defect("window-left-to-libssh2", LIBRARY,
           "    if (k->widen == 0 && left < whole - whole / 8) {",
           "    if (k->widen == 1 && left < whole - whole / 8) {", ["ssh_rekey window"]),
    # the command line
    Defect("secret-shown", "tools/eice/report.c",
           '    fprintf(stderr, "eice: %s", e->text',
           '    fprintf(stderr, "eice: %s ", getenv("AWS_SECRET_ACCESS_KEY"));\n'
           '    fprintf(stderr, "eice: %s", e->text', ["failure plain-refused"]),
    Defect("exit-status-lost", "tools/eice/ssh.c", "    return e->status & 0xff;",
           "    return 0;", ["failure status-of-command"]),
    Defect("end-of-stdin-not-sent", "tools/eice/ssh.c",
           "        eice_channel_eof(s->ssh, s->channel);\n", "", ["failure stdin-ends"]),
    Defect("terminal-left-raw", "tools/eice/term.c",
           "    tcsetattr(saved_fd, TCSADRAIN, &saved_modes);\n", "",
           ["failure terminal-escape"]),
    Defect("no-close-on-signal", "tools/eice/run.c", "            eice_conn_close(r->conn);\n",
           "            eice_conn_cancel(r->conn);\n", ["failure term-session"]),
]
