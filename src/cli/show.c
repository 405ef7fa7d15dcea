#include "cli/show.h"

#include <inttypes.h>

#include "base/auto.h"
#include "base/time.h"
#include "cli/human.h"
#include "cli/width.h"

enum { TEXT_ROWS = 2, TEXT_COLUMNS = 100, LIST_COLUMNS = 10,
	VALUE_MAX = 4096 }; /* bytes of a value */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* "ARCHITECTURE.what" of a model's or projector's metadata. */
static const json_t *of_architecture(const json_t *info, const char *what)
{
	char key[160];
	snprintf(key, sizeof key, "%.100s.%s", text_of(info, "general.architecture"), what);
	return json_object_get(info, key);
}

static void print_section(const char *head, const struct grid *g, FILE *out)
{
	if (!g->n)
		return;
	fprintf(out, "  %s\n", head);
	grid_print(g, out);
	fputc('\n', out);
}

static struct str shortened(struct str s)
{
	s = str_sub(s, 0, VALUE_MAX);
	s.len = str_utf8_whole(s);
	return s;
}

static enum err pair_str(struct grid *g, const char *name, struct str value)
{
	TRY(grid_add(g, STR("")));
	TRY(grid_add(g, shortened(str_from(name))));
	return grid_add(g, value);
}

static enum err pair(struct grid *g, const char *name, const char *value)
{
	return pair_str(g, name, shortened(str_from(value)));
}

/* ---- values of any kind ---- */

static enum err add_scalar(const json_t *v, struct buf *out)
{
	if (json_is_string(v))
		return buf_add(out, shortened((struct str){
					    json_string_value(v), json_string_length(v) }));
	if (json_is_integer(v))
		return buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	if (json_is_real(v))
		return buf_addf(out, "%.9g", json_real_value(v));
	if (json_is_boolean(v))
		return buf_addf(out, "%s", json_is_true(v) ? "true" : "false");
	return buf_add(out, STR("-"));
}

/* "[1 2 3 ...+97 more]": as many as `columns` and VALUE_MAX hold, with Ollama's counting (a comma
 * each). */
static enum err add_list(const json_t *list, size_t columns, struct buf *out)
{
	size_t used = 1, n = json_array_size(list), i;
	TRY(buf_add_byte(out, '['));
	for (i = 0; i < n; i++) {
		AUTO_BUF struct buf item = BUF(VALUE_MAX);
		TRY(add_scalar(json_array_get(list, i), &item));
		size_t wide = width_text(buf_str(&item)) + (i ? 2 : 0);
		if (i && (used + wide > columns || out->len + item.len > VALUE_MAX - 64))
			break;
		used += wide;
		TRY(buf_addf(out, "%s%.*s", i ? " " : "", STR_ARG(buf_str(&item))));
	}
	if (i < n)
		TRY(buf_addf(out, " ...+%zu more", n - i));
	return buf_add_byte(out, ']');
}

static enum err pair_value(struct grid *g, const char *name, const json_t *v)
{
	AUTO_BUF struct buf text = BUF(2 * VALUE_MAX);
	if (!v)
		return OK;
	TRY(json_is_array(v) ? add_list(v, LIST_COLUMNS, &text) : add_scalar(v, &text));
	return pair_str(g, name, buf_str(&text));
}

/* ---- sections ---- */

static enum err model(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *info = json_object_get(show, "model_info"),
		     *details = json_object_get(show, "details");
	const char *size = text_of(details, "parameter_size"), *family = text_of(details, "family"),
		   *requires = text_of(show, "requires");
	char count[HUMAN_MAX];
	json_int_t n = json_integer_value(json_object_get(info, "general.parameter_count"));
	grid_init(&g, 3, false);
	human_number(n > 0 ? (uint64_t)n : 0, count);
	TRY(pair(&g, "architecture",
		*text_of(info, "general.architecture") ? text_of(info, "general.architecture")
						       : family));
	if (*size || n > 0)
		TRY(pair(&g, "parameters", *size ? size : count));
	TRY(pair_value(&g, "context length", of_architecture(info, "context_length")));
	TRY(pair_value(&g, "embedding length", of_architecture(info, "embedding_length")));
	TRY(pair(&g, "quantization", text_of(details, "quantization_level")));
	if (*requires)
		TRY(pair(&g, "requires", requires));
	if (*text_of(show, "cards"))
		TRY(pair(&g, "runs on", text_of(show, "cards")));
	print_section("Model", &g, out);
	return OK;
}

static enum err capabilities(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *list = json_object_get(show, "capabilities");
	grid_init(&g, 2, false);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *what = json_string_value(json_array_get(list, i));
		if (what)
			TRY(grid_row(&g, (const char *const[]){ "", what }));
	}
	print_section("Capabilities", &g, out);
	return OK;
}

static enum err projector(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *info = json_object_get(show, "projector_info");
	char count[HUMAN_MAX];
	json_int_t n = json_integer_value(json_object_get(info, "general.parameter_count"));
	grid_init(&g, 3, false);
	if (!json_object_size(info))
		return OK;
	human_number(n > 0 ? (uint64_t)n : 0, count);
	TRY(pair(&g, "architecture", text_of(info, "general.architecture")));
	TRY(pair(&g, "parameters", count));
	TRY(pair_value(&g, "embedding length", of_architecture(info, "vision.embedding_length")));
	TRY(pair_value(&g, "dimensions", of_architecture(info, "vision.projection_dim")));
	print_section("Projector", &g, out);
	return OK;
}

/* Not Ollama's. */
static enum err adapters(const json_t *show, FILE *out)
{
	const json_t *list = json_object_get(show, "adapters");
	for (size_t i = 0; i < json_array_size(list); i++) {
		AUTO_GRID struct grid g;
		const json_t *a = json_array_get(list, i), *info = json_object_get(a, "info");
		char count[HUMAN_MAX];
		json_int_t n =
			json_integer_value(json_object_get(info, "general.parameter_count"));
		grid_init(&g, 3, false);
		human_number(n > 0 ? (uint64_t)n : 0, count);
		if (*text_of(info, "general.name"))
			TRY(pair(&g, "name", text_of(info, "general.name")));
		TRY(pair(&g, "architecture", text_of(info, "general.architecture")));
		TRY(pair(&g, "parameters", count));
		TRY(pair_value(&g, "alpha", json_object_get(info, "adapter.lora.alpha")));
		TRY(pair(&g, "digest", text_of(a, "digest")));
		print_section("Adapter", &g, out);
	}
	return OK;
}

static enum err parameters(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	struct str rest = str_from(text_of(show, "parameters")), line;
	grid_init(&g, 3, false);
	while (str_next(&rest, '\n', &line)) {
		line = str_trim(line);
		size_t end = 0;
		while (end < line.len && line.ptr[end] != ' ' && line.ptr[end] != '\t')
			end++;
		if (!line.len)
			continue;
		TRY(grid_add(&g, STR("")));
		TRY(grid_add(&g, str_sub(line, 0, end)));
		TRY(grid_add(&g, str_trim(str_sub(line, end, line.len))));
	}
	print_section("Parameters", &g, out);
	return OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err metadata(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	json_t *info = json_object_get(show, "model_info"), *v;
	size_t n = 0, all = json_object_size(info);
	AUTO_MEM const char **keys = calloc(all + 1, sizeof *keys);
	const char *key;
	grid_init(&g, 3, false);
	if (!keys)
		return ERR_NOMEM;
	json_object_foreach(info, key, v) keys[n++] = key;
	qsort(keys, n, sizeof *keys, by_name);
	for (size_t i = 0; i < n; i++)
		TRY(pair_value(&g, keys[i], json_object_get(info, keys[i])));
	print_section("Metadata", &g, out);
	return OK;
}

static enum err tensors(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *list = json_object_get(show, "tensors");
	grid_init(&g, 4, false);
	for (size_t i = 0; i < json_array_size(list); i++) {
		AUTO_BUF struct buf shape = BUF(2 * VALUE_MAX);
		const json_t *t = json_array_get(list, i);
		TRY(add_list(json_object_get(t, "shape"), SIZE_MAX, &shape));
		TRY(grid_add(&g, STR("")));
		TRY(grid_add(&g, shortened(str_from(text_of(t, "name")))));
		TRY(grid_add(&g, shortened(str_from(text_of(t, "type")))));
		TRY(grid_add(&g, buf_str(&shape)));
	}
	print_section("Tensors", &g, out);
	return OK;
}

/* A text of which the first lines say enough; long ones are broken between words. */
static enum err text_section(const char *head, const char *text, FILE *out)
{
	AUTO_GRID struct grid g;
	struct str rest = str_from(text), line;
	size_t rows = 0;
	grid_init(&g, 2, false);
	while (rows <= TEXT_ROWS && str_next(&rest, '\n', &line)) {
		line = str_trim(line);
		rows += line.len > 0;
		if (rows > TEXT_ROWS)
			line = STR("...");
		while (line.len) {
			size_t n = line.len;
			if (n > TEXT_COLUMNS) {
				for (n = TEXT_COLUMNS; n && line.ptr[n] != ' ';)
					n--;
				n = n ? n : str_utf8_whole(str_sub(line, 0, TEXT_COLUMNS));
			}
			TRY(grid_add(&g, STR("")));
			TRY(grid_add(&g, str_sub(line, 0, n)));
			line = str_trim(str_sub(line, n, line.len));
		}
	}
	print_section(head, &g, out);
	return OK;
}

static enum err let_in_by(struct grid *g, const json_t *o)
{
	return pair(g, "let in by",
		*text_of(o, "person_name") ? text_of(o, "person_name")
		: *text_of(o, "person")    ? "an account that is gone"
					   : "the operator");
}

/* Not Ollama's: what the name stands for, and who decided it. */
static enum err alias(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *a = json_object_get(show, "alias");
	char at[TIME_RFC3339_LEN];
	grid_init(&g, 3, false);
	if (!json_is_object(a))
		return OK;
	time_rfc3339(json_integer_value(json_object_get(a, "since_ms")), at);
	TRY(pair(&g, "channel", text_of(a, "channel")));
	TRY(pair(&g, "model", text_of(a, "model")));
	TRY(pair(&g, "digest", text_of(a, "digest")));
	TRY(let_in_by(&g, a));
	TRY(pair(&g, "since", at));
	if (*text_of(a, "trial"))
		TRY(pair(&g, "trial", text_of(a, "trial")));
	if (*text_of(a, "reason"))
		TRY(pair(&g, "reason", text_of(a, "reason")));
	print_section("Alias", &g, out);
	return OK;
}

/* Not Ollama's. */
static enum err here(const json_t *show, FILE *out)
{
	AUTO_GRID struct grid g;
	const json_t *o = json_object_get(show, "origin");
	char at[TIME_RFC3339_LEN];
	grid_init(&g, 3, false);
	if (json_is_object(o)) {
		time_rfc3339(json_integer_value(json_object_get(o, "at_ms")), at);
		TRY(pair(&g, "from", *text_of(o, "source") ? text_of(o, "source") : "made here"));
		TRY(let_in_by(&g, o));
		TRY(pair(&g, "since", at));
	}
	if (json_is_true(json_object_get(show, "pinned")))
		TRY(pair(&g, "always loaded", "yes"));
	if (*text_of(show, "tuned"))
		TRY(pair(&g, "measured", text_of(show, "tuned")));
	if (*text_of(show, "engine"))
		TRY(pair(&g, "keeps engine", text_of(show, "engine")));
	print_section("Here", &g, out);
	return OK;
}

enum err show_info(const json_t *show, bool verbose, FILE *out)
{
	TRY(model(show, out));
	TRY(capabilities(show, out));
	TRY(projector(show, out));
	TRY(adapters(show, out));
	TRY(parameters(show, out));
	if (verbose) {
		TRY(metadata(show, out));
		TRY(tensors(show, out));
	}
	TRY(text_section("System", text_of(show, "system"), out));
	TRY(text_section("License", text_of(show, "license"), out));
	TRY(here(show, out));
	return alias(show, out);
}
