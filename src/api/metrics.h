/* api/metrics.h - Prometheus text of /metrics; the names are a stable interface, docs/metrics.md lists
 * them. */
#pragma once

#include "api/call.h"

/* "# HELP" and "# TYPE"; every name gets the prefix tresor_. */
void metric_head(struct buf *b, const char *name, const char *kind, const char *help);
void metric_one(struct buf *b, const char *name, const char *kind, const char *help, uint64_t v);
/* The text of a label's value, escaped. */
void metric_label(struct buf *b, const char *s);
/* Everything about engines and the queue. Errors: ERR_NOMEM. */
enum err metrics_engines(struct call *c, struct buf *b);
