#include "http/route.h"

#include <pthread.h>

#include "base/fault.h"

/* The table as a tree of segments, built once on first use. Node 0 is the root; children of a node
 * form a list; a node has at most one child for "{name}". Routes of a node form a list, too. */
enum { NODES_MAX = 512, ROUTES_MAX = 512, NONE = 0xffff };
struct node {
	struct str segment; /* without '/'; of "{id}": the name */
	uint16_t child, sibling, param, route;
};
static struct {
	struct node node[NODES_MAX];
	uint16_t next_route[ROUTES_MAX];
	uint16_t n;
	const struct route *page;
} tree; /* constant after build(); the only process-wide thing here */
static pthread_once_t built = PTHREAD_ONCE_INIT;

static uint16_t new_node(struct str segment)
{
	if (tree.n == NODES_MAX)
		DIE("too many routes");
	tree.node[tree.n] = (struct node){ segment, NONE, NONE, NONE, NONE };
	return tree.n++;
}

static uint16_t child_of(uint16_t at, struct str segment)
{
	struct node *n = &tree.node[at];
	if (segment.len > 2 && segment.ptr[0] == '{') {
		struct str name = str_sub(segment, 1, segment.len - 2);
		if (n->param == NONE) {
			uint16_t made = new_node(name);
			tree.node[at].param = made;
		} else if (!str_eq(tree.node[n->param].segment, name)) {
			DIE("two names for one parameter of a route");
		}
		return tree.node[at].param;
	}
	for (uint16_t c = n->child; c != NONE; c = tree.node[c].sibling)
		if (str_eq(tree.node[c].segment, segment))
			return c;
	uint16_t c = new_node(segment);
	tree.node[c].sibling = tree.node[at].child;
	tree.node[at].child = c;
	return c;
}

static void build(void)
{
	new_node(STR(""));
	if (route_count > ROUTES_MAX)
		DIE("too many routes");
	for (size_t i = 0; i < route_count; i++) {
		struct str path = str_from(route_table[i].path), segment;
		uint16_t at = 0;
		path = str_sub(path, 1, SIZE_MAX);
		while (str_next(&path, '/', &segment))
			at = child_of(at, segment);
		tree.next_route[i] = tree.node[at].route;
		tree.node[at].route = (uint16_t)i;
		if (route_table[i].dialect == DIALECT_PAGE)
			tree.page = &route_table[i];
	}
}

/* What a search carries. */
struct search {
	struct str method;
	struct str segment[ROUTE_SEGMENTS_MAX];
	unsigned n;
	bool other;
	struct route_params *params;
	struct buf *allow; /* collects methods instead of stopping */
};

static const struct route *pick(struct search *s, uint16_t at)
{
	const struct route *get = NULL;
	for (uint16_t r = tree.node[at].route; r != NONE; r = tree.next_route[r]) {
		struct str method = str_from(route_table[r].method);
		s->other = true;
		if (s->allow)
			(void)buf_addf(s->allow, "%s%s", s->allow->len ? ", " : "", method.ptr);
		else if (str_eq(method, s->method))
			return &route_table[r];
		else if (str_eq(method, STR("GET")) && str_eq(s->method, STR("HEAD")))
			get = &route_table[r];
	}
	return get;
}

static const struct route *walk(struct search *s, uint16_t at, unsigned depth)
{
	if (depth == s->n)
		return pick(s, at);
	for (uint16_t c = tree.node[at].child; c != NONE; c = tree.node[c].sibling) {
		if (!str_eq(tree.node[c].segment, s->segment[depth]))
			continue;
		const struct route *r = walk(s, c, depth + 1);
		if (r)
			return r;
	}
	uint16_t p = tree.node[at].param;
	if (p == NONE || !s->segment[depth].len)
		return NULL;
	unsigned had = s->params->n;
	if (had == ROUTE_PARAMS_MAX)
		return NULL;
	s->params->p[had].name = tree.node[p].segment;
	s->params->p[had].value = s->segment[depth];
	s->params->n = had + 1;
	const struct route *r = walk(s, p, depth + 1);
	if (!r)
		s->params->n = had;
	return r;
}

static bool split(struct str path, struct search *s)
{
	struct str segment;
	if (!path.len || path.ptr[0] != '/')
		return false;
	path = str_sub(path, 1, SIZE_MAX);
	while (str_next(&path, '/', &segment)) {
		if (s->n == ROUTE_SEGMENTS_MAX)
			return false;
		s->segment[s->n++] = segment;
	}
	return true;
}

enum dialect route_dialect(struct str path)
{
	static const struct { const char *prefix; enum dialect dialect; } by_prefix[] = {
		{ "/v1/messages", DIALECT_ANTHROPIC },
		{ "/api/", DIALECT_OLLAMA },	 { "/v1/", DIALECT_OPENAI },
		{ "/team/", DIALECT_TEAM },	 { "/metrics", DIALECT_PLAIN },
		{ "/healthz", DIALECT_PLAIN },
	};
	for (size_t i = 0; i < sizeof by_prefix / sizeof by_prefix[0]; i++)
		if (str_starts(path, str_from(by_prefix[i].prefix)))
			return by_prefix[i].dialect;
	return DIALECT_PAGE;
}

const struct route *route_match(struct str method, struct str path, struct route_params *ret,
				bool *ret_other_method)
{
	struct search s = { .method = method, .params = ret };
	pthread_once(&built, build);
	ret->n = 0;
	*ret_other_method = false;
	if (!split(path, &s))
		return NULL;
	const struct route *r = walk(&s, 0, 0);
	if (r)
		return r;
	ret->n = 0;
	if (!s.other && route_dialect(path) == DIALECT_PAGE) {
		if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")))
			return tree.page;
		s.other = tree.page != NULL;
	}
	*ret_other_method = s.other;
	return NULL;
}

const struct route *route_find(struct str method, struct str path, bool *ret_other_method)
{
	struct route_params unused;
	return route_match(method, path, &unused, ret_other_method);
}

void route_allowed(struct str path, struct buf *out)
{
	struct route_params params = { .n = 0 };
	struct search s = { .params = &params, .allow = out };
	pthread_once(&built, build);
	if (split(path, &s))
		(void)walk(&s, 0, 0);
	if (!out->len && route_dialect(path) == DIALECT_PAGE)
		(void)buf_add(out, STR("GET"));
}
