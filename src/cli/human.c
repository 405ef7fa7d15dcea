#include "cli/human.h"

#include <inttypes.h>

#include "cli/width.h"

enum { GRID_MAX = 16 * 1024 * 1024, PAD = 4 };

void human_bytes(uint64_t n, char ret[HUMAN_MAX])
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;
	for (; v >= 1000 && u < 4; u++)
		v /= 1000;
	bool whole = v >= 10 || v == (double)(uint64_t)v;
	if (whole)
		snprintf(ret, HUMAN_MAX, "%" PRIu64 " %s", (uint64_t)v, units[u]);
	else
		snprintf(ret, HUMAN_MAX, "%.1f %s", v, units[u]);
}

void human_number(uint64_t n, char ret[HUMAN_MAX])
{
	static const struct {
		uint64_t unit;
		int digits;
		const char *name;
	} units[] = { { 1000000000, 1, "B" }, { 1000000, 2, "M" }, { 1000, 0, "K" } };
	for (size_t i = 0; i < 3; i++)
		if (n >= units[i].unit) {
			snprintf(ret, HUMAN_MAX, "%.*f%s", n % units[i].unit ? units[i].digits : 0,
				(double)n / (double)units[i].unit, units[i].name);
			return;
		}
	snprintf(ret, HUMAN_MAX, "%" PRIu64, n);
}

/* ---- times ---- */

static void about(int64_t ms, char *ret, size_t size)
{
	int64_t s = ms / 1000, minutes = s / 60, hours = (ms + 1800000) / 3600000;
	static const struct {
		int64_t below, hours;
		const char *unit;
	} units[] = { { 48, 1, "hours" }, { 24 * 14, 24, "days" }, { 24 * 60, 24 * 7, "weeks" },
		{ 24 * 365 * 2, 24 * 30, "months" }, { INT64_MAX, 24 * 365, "years" } };
	size_t u = 0;
	if (s < 1)
		snprintf(ret, size, "Less than a second");
	else if (s < 60)
		snprintf(ret, size, "%" PRId64 " second%s", s, s == 1 ? "" : "s");
	else if (minutes == 1)
		snprintf(ret, size, "About a minute");
	else if (minutes < 60)
		snprintf(ret, size, "%" PRId64 " minutes", minutes);
	else if (hours == 1)
		snprintf(ret, size, "About an hour");
	else {
		while (hours >= units[u].below)
			u++;
		snprintf(ret, size, "%" PRId64 " %s", hours / units[u].hours, units[u].unit);
	}
}

void human_time(int64_t at_ms, int64_t now_ms, char ret[HUMAN_MAX])
{
	char text[32];
	int64_t ahead;
	if (__builtin_sub_overflow(at_ms, now_ms, &ahead) || ahead == INT64_MIN ||
		ahead / 3600000 / 24 / 365 > 20) {
		snprintf(ret, HUMAN_MAX, "Forever");
		return;
	}
	about(ahead > 0 ? ahead : -ahead, text, sizeof text);
	snprintf(ret, HUMAN_MAX, "%s %s", text, ahead > 0 ? "from now" : "ago");
}

/* `digits` of a fraction without the zeros at its end: ".25", or nothing. */
static void fraction(uint64_t v, int digits, char ret[16])
{
	ret[0] = '\0';
	if (!v)
		return;
	int n = snprintf(ret, 16, ".%0*" PRIu64, digits, v);
	while (n > 0 && ret[n - 1] == '0')
		ret[--n] = '\0';
}

void human_duration(int64_t ns, char ret[HUMAN_MAX])
{
	static const struct {
		uint64_t unit;
		int digits;
		const char *name;
	} small[] = { { 1000000, 6, "ms" }, { 1000, 3, "\u00b5s" }, { 1, 0, "ns" } };
	const char *sign = ns < 0 ? "-" : "";
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, s = v / 1000000000;
	char frac[16];
	for (size_t i = 0; i < 3 && !s && v; i++)
		if (v >= small[i].unit) {
			fraction(v % small[i].unit, small[i].digits, frac);
			snprintf(ret, HUMAN_MAX, "%s%" PRIu64 "%s%s", sign, v / small[i].unit, frac,
				small[i].name);
			return;
		}
	fraction(v % 1000000000, 9, frac);
	int n = snprintf(ret, HUMAN_MAX, "%s", sign);
	if (s >= 3600)
		n += snprintf(ret + n, HUMAN_MAX - (size_t)n, "%" PRIu64 "h", s / 3600);
	if (s >= 60)
		n += snprintf(ret + n, HUMAN_MAX - (size_t)n, "%" PRIu64 "m", s / 60 % 60);
	snprintf(ret + n, HUMAN_MAX - (size_t)n, "%" PRIu64 "%ss", s % 60, frac);
}

/* ---- tables ---- */

void grid_init(struct grid *g, unsigned columns, bool head)
{
	*g = (struct grid){ .cells = BUF(GRID_MAX), .columns = columns, .head = head };
}

void grid_done(struct grid *g)
{
	buf_done(&g->cells);
}

enum err grid_add(struct grid *g, struct str text)
{
	size_t start = g->cells.len, column = g->n % g->columns;
	if (g->columns > GRID_COLUMNS)
		return ERR_LIMIT;
	TRY(buf_add(&g->cells, text));
	for (size_t i = start, n; i < g->cells.len; i += n) {
		int wide;
		n = width_char(str_sub(buf_str(&g->cells), i, g->cells.len), &wide);
		if (wide < 0)
			memset(g->cells.ptr + i, ' ', n);
	}
	size_t wide = width_text(buf_from(&g->cells, start));
	if (wide > g->width[column])
		g->width[column] = wide;
	TRY(buf_add_byte(&g->cells, '\0'));
	g->n++;
	return OK;
}

enum err grid_row(struct grid *g, const char *const *cells)
{
	for (unsigned i = 0; i < g->columns; i++)
		TRY(grid_add(g, str_from(cells[i])));
	return OK;
}

void grid_print(const struct grid *g, FILE *out)
{
	struct str rest = buf_str(&g->cells), cell;
	bool head = g->head;
	for (unsigned column = 0; rest.len && str_next(&rest, '\0', &cell);) {
		bool last = ++column == g->columns;
		size_t pad = g->width[column - 1] - width_text(cell) + (head && last ? 1 : PAD);
		fprintf(out, "%.*s%*s%s", STR_ARG(cell), (int)pad, "", last ? "\n" : "");
		head = head && !last;
		column = last ? 0 : column;
	}
}
