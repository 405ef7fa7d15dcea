#include "models/name.h"

#include <string.h>

enum part { PART_HOST, PART_NS, PART_MODEL, PART_TAG };
static const char *const part_text[] = { "host", "namespace", "name", "tag" };

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool part_ok(enum part p, struct str s)
{
	if (!s.len || s.len > (p == PART_HOST ? NAME_HOST_MAX : NAME_PART_MAX) ||
		!is_word(s.ptr[0]))
		return false;
	for (size_t i = 1; i < s.len; i++) {
		char c = s.ptr[i];
		bool dot = c == '.' && p != PART_NS && s.ptr[i - 1] != '.';
		if (!is_word(c) && c != '-' && !dot && !(c == ':' && p == PART_HOST))
			return false;
	}
	return true;
}

static enum err take(enum part p, struct str s, char *dst, size_t size, struct err_info *info)
{
	if (!part_ok(p, s) || str_copy(s, dst, size))
		return err_set(info, ERR_INVALID, "the model's %s is not valid", part_text[p]);
	return OK;
}

/* "127.0.0.1:5000": a colon in front of digits that end the first part is a port, not a tag. */
static bool is_host(struct str first)
{
	return str_find_byte(first, '.', 0) != SIZE_MAX ||
	       str_find_byte(first, ':', 0) != SIZE_MAX || str_eq_nocase(first, STR("localhost"));
}

static bool hugging_face(struct str host)
{
	return str_eq_nocase(host, STR("hf.co")) || str_eq_nocase(host, STR("huggingface.co"));
}

static enum err host_port_ok(struct str host, struct err_info *info)
{
	size_t colon = str_find_byte(host, ':', 0);
	uint64_t port = 1;
	if (colon == SIZE_MAX)
		return OK;
	struct str digits = str_sub(host, colon + 1, host.len);
	if (!colon || str_to_u64(digits, &port) || !port || port > 65535 || digits.len > 5)
		return err_set(info, ERR_INVALID, "the model's host has a port that is not valid");
	return OK;
}

static enum err registry_name(struct str text, struct model_name *n, struct err_info *info)
{
	struct str rest = text, field, part[3];
	size_t count = 0;
	while (str_next(&rest, '/', &field)) {
		if (count == 3)
			return err_set(info, ERR_INVALID,
				"a model's name has at most HOST/NAMESPACE/NAME:TAG");
		part[count++] = field;
	}
	if (!count)
		return err_set(info, ERR_INVALID, "the model's name is empty");
	struct str model = part[count - 1], tag = STR(NAME_DEFAULT_TAG);
	size_t colon = str_find_byte(model, ':', 0);
	if (colon != SIZE_MAX) {
		tag = str_sub(model, colon + 1, model.len);
		model = str_sub(model, 0, colon);
	}
	struct str host = STR(NAME_DEFAULT_HOST), ns = STR(NAME_DEFAULT_NAMESPACE);
	if (count == 3) {
		host = part[0];
		ns = part[1];
	} else if (count == 2 && is_host(part[0])) {
		host = part[0]; /* HOST/NAME:TAG: an OCI registry without namespaces of its own */
	} else if (count == 2) {
		ns = part[0];
	}
	n->source = hugging_face(host) ? NAME_HUGGING_FACE : NAME_REGISTRY;
	if (n->source == NAME_HUGGING_FACE)
		host = STR("hf.co");
	if (n->source == NAME_HUGGING_FACE && count != 3)
		return err_set(info, ERR_INVALID,
			"a Hugging Face model is hf.co/USER/REPOSITORY:QUANTISATION");
	TRY(take(PART_HOST, host, n->host, sizeof n->host, info));
	TRY(host_port_ok(host, info));
	TRY(take(PART_NS, ns, n->ns, sizeof n->ns, info));
	TRY(take(PART_MODEL, model, n->model, sizeof n->model, info));
	/* "starter:x" and "file:x" are sources: a model of that name could not be told from them */
	if (str_eq_nocase(ns, STR(NAME_DEFAULT_NAMESPACE)) &&
		str_eq_nocase(host, STR(NAME_DEFAULT_HOST)) &&
		(str_eq_nocase(model, STR("starter")) || str_eq_nocase(model, STR("file"))))
		return err_set(
			info, ERR_INVALID, "\"%.*s\" cannot be a model's name", STR_ARG(model));
	return take(PART_TAG, tag, n->tag, sizeof n->tag, info);
}

/* Cuts "@sha256:DIGEST" off. */
static enum err take_version(struct str *text, struct model_name *n, struct err_info *info)
{
	size_t at = str_find_byte(*text, '@', 0);
	if (at == SIZE_MAX)
		return OK;
	struct str digest = str_sub(*text, at + 1, text->len);
	if (!str_starts(digest, STR("sha256:")) || !digest_ok(str_sub(digest, 7, digest.len)))
		return err_set(info, ERR_INVALID,
			"the model's version is not @sha256: and 64 hex digits");
	*text = str_sub(*text, 0, at);
	return str_copy(str_sub(digest, 7, digest.len), n->version, sizeof n->version);
}

static size_t full_length(const struct model_name *n)
{
	return strlen(n->host) + strlen(n->ns) + strlen(n->model) + strlen(n->tag) +
	       strlen("//:") + (n->version[0] ? NAME_VERSION_LEN : 0);
}

enum err name_parse(struct str text, struct model_name *ret, struct err_info *info)
{
	struct model_name n = { 0 };
	if (name_file_path(text).ptr) {
		n.source = NAME_FILE;
		*ret = n;
		return OK;
	}
	if (str_starts(text, STR("https://")))
		text = str_sub(text, 8, text.len);
	else if (str_starts(text, STR("http://")))
		text = str_sub(text, 7, text.len);
	if (text.len > LIMIT_MODEL_NAME)
		return err_set(info, ERR_INVALID, "the model's name is too long");
	TRY(take_version(&text, &n, info));
	if (str_starts(text, STR("starter:"))) {
		struct str model = str_sub(text, 8, text.len), tag = STR(NAME_DEFAULT_TAG);
		size_t colon = str_find_byte(model, ':', 0);
		if (colon != SIZE_MAX) {
			tag = str_sub(model, colon + 1, model.len);
			model = str_sub(model, 0, colon);
		}
		n.source = NAME_STARTER;
		memcpy(n.host, "starter", 8);
		memcpy(n.ns, NAME_DEFAULT_NAMESPACE, sizeof NAME_DEFAULT_NAMESPACE);
		TRY(take(PART_TAG, tag, n.tag, sizeof n.tag, info));
		TRY(take(PART_MODEL, model, n.model, sizeof n.model, info));
	} else {
		TRY(registry_name(text, &n, info));
	}
	if (full_length(&n) > LIMIT_MODEL_NAME)
		return err_set(info, ERR_INVALID, "the model's name is too long");
	*ret = n;
	return OK;
}

struct str name_file_path(struct str text)
{
	return str_starts(text, STR("file:")) ? str_sub(text, 5, text.len) : STR_NONE;
}

/* name_parse() saw to it that all parts together fit. */
static void join(const char *const *part, size_t n, char dst[LIMIT_MODEL_NAME + 1])
{
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(part[i]);
		if (len > LIMIT_MODEL_NAME - at)
			len = LIMIT_MODEL_NAME - at;
		memcpy(dst + at, part[i], len);
		at += len;
	}
	dst[at] = '\0';
}

void name_format(const struct model_name *n, char dst[LIMIT_MODEL_NAME + 1])
{
	bool host = !str_eq_nocase(str_from(n->host), STR(NAME_DEFAULT_HOST));
	bool ns = host || !str_eq_nocase(str_from(n->ns), STR(NAME_DEFAULT_NAMESPACE));
	bool latest = str_eq_nocase(str_from(n->tag), STR(NAME_DEFAULT_TAG));
	const char *at = n->version[0] ? "@sha256:" : "";
	const char *const full[] = { n->host, "/", n->ns, "/", n->model, ":", n->tag, at,
		n->version };
	const char *const starter[] = { "starter:", n->model, latest ? "" : ":",
		latest ? "" : n->tag, at, n->version };
	if (n->source == NAME_STARTER)
		join(starter, 6, dst);
	else
		join(full + (host ? 0 : ns ? 2 : 4), host ? 9 : ns ? 7 : 5, dst);
}

void name_path(const struct model_name *n, char dst[LIMIT_MODEL_NAME + 1])
{
	const char *const part[] = { n->host, "/", n->ns, "/", n->model, "/", n->tag,
		n->version[0] ? "@sha256:" : "", n->version };
	join(part, 9, dst);
}

enum err name_version(const struct model_name *n, const char *digest, struct model_name *ret)
{
	struct model_name v = *n;
	TRY(str_copy(str_from(digest), v.version, sizeof v.version));
	if (full_length(&v) > LIMIT_MODEL_NAME)
		return ERR_LIMIT;
	*ret = v;
	return OK;
}

bool name_eq(const struct model_name *a, const struct model_name *b)
{
	return name_eq_base(a, b) && !strcmp(a->version, b->version);
}

bool name_eq_base(const struct model_name *a, const struct model_name *b)
{
	return str_eq_nocase(str_from(a->host), str_from(b->host)) &&
	       str_eq_nocase(str_from(a->ns), str_from(b->ns)) &&
	       str_eq_nocase(str_from(a->model), str_from(b->model)) &&
	       str_eq_nocase(str_from(a->tag), str_from(b->tag));
}

bool digest_ok(struct str hex)
{
	for (size_t i = 0; i < hex.len; i++)
		if (!((hex.ptr[i] >= '0' && hex.ptr[i] <= '9') ||
			    (hex.ptr[i] >= 'a' && hex.ptr[i] <= 'f')))
			return false;
	return hex.len == 64;
}

enum err digest_parse(struct str text, char ret_hex[65])
{
	if (str_starts(text, STR("sha256:")) || str_starts(text, STR("sha256-")))
		text = str_sub(text, 7, text.len);
	if (!digest_ok(text))
		return ERR_INVALID;
	return str_copy(text, ret_hex, 65);
}
