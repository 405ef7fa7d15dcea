#include "cli/progress.h"

#include <stdio.h>

#include "base/time.h"
#include "cli/human.h"
#include "cli/width.h"
#include "os/tty.h"

enum { BAR_MAX = 60, TEXT_COLUMNS = 62, WHEEL_MS = 100, SPEED_MAX = 128 };

void progress_init(struct progress *p)
{
	*p = (struct progress){ .terminal = tty_moves(2) };
}

void progress_end(struct progress *p)
{
	if (p->open)
		fputc('\n', stderr);
	p->open = false;
}

static bool next_step(struct progress *p, const char *step, uint64_t at)
{
	char shown[sizeof p->step];
	size_t n = 0;
	int wide;
	for (size_t one; (one = width_char(str_from(step), &wide)) > 0; step += one) {
		struct str c = wide < 0 ? STR("?") : (struct str){ step, one };
		if (n + c.len >= sizeof shown)
			break;
		memcpy(shown + n, c.ptr, c.len);
		n += c.len;
	}
	shown[n] = '\0';
	if (!strcmp(shown, p->step))
		return false;
	progress_end(p);
	memcpy(p->step, shown, n + 1);
	p->began_ms = time_mono_ms();
	p->began_at = at;
	return true;
}

/* "  12 MB/s      4s" while bytes come. */
static void speed(const struct progress *p, uint64_t done, uint64_t total, char ret[SPEED_MAX])
{
	char rate[HUMAN_MAX], left[HUMAN_MAX];
	int64_t ms = time_mono_ms() - p->began_ms;
	uint64_t fresh = done > p->began_at ? done - p->began_at : 0;
	snprintf(ret, SPEED_MAX, "%18s", "");
	if (ms < 1000 || !fresh || done >= total)
		return;
	double per_s = (double)fresh * 1000 / (double)ms;
	double s = (double)(total - done) / per_s;
	human_bytes((uint64_t)per_s, rate);
	human_duration(s < 360000 ? (int64_t)s * 1000000000 : 0, left);
	snprintf(ret, SPEED_MAX, "  %6s/s  %7s", rate, s < 360000 ? left : "99h+");
}

static void bar(struct progress *p, uint64_t done, uint64_t total)
{
	char have[HUMAN_MAX], all[HUMAN_MAX], end[SPEED_MAX];
	unsigned columns, rows, width = 20;
	if (tty_size(2, &columns, &rows))
		width = columns > TEXT_COLUMNS + 4 ? columns - TEXT_COLUMNS : 4;
	width = width > BAR_MAX ? BAR_MAX : width;
	done = done > total ? total : done;
	double part = (double)done / (double)total;
	unsigned full = (unsigned)(part * width);
	human_bytes(done, have);
	human_bytes(total, all);
	speed(p, done, total, end);
	fprintf(stderr, "\r\033[K%-22.22s %3u%% \u2595", p->step, (unsigned)(part * 100));
	for (unsigned i = 0; i < width; i++)
		fputs(i < full ? "\u2588" : " ", stderr);
	fprintf(stderr, "\u258f %6s/%6s%s", have, all, end);
	p->open = true;
}

void progress_bytes(struct progress *p, const char *step, uint64_t done, uint64_t total)
{
	bool fresh = next_step(p, step, done);
	if (p->terminal && total)
		bar(p, done, total);
	else if (fresh && p->terminal)
		p->open = fprintf(stderr, "%s", p->step) >= 0;
	else if (fresh)
		fprintf(stderr, "%s\n", p->step);
	if (p->terminal)
		fflush(stderr);
}

static uint64_t bytes_of(const json_t *line, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(line, key));
	return v > 0 ? (uint64_t)v : 0;
}

enum err progress_line(const json_t *line, void *arg)
{
	const char *status = json_string_value(json_object_get(line, "status"));
	const char *licence = json_string_value(json_object_get(line, "licence"));
	char text[160];
	if (licence) { /* of what was pulled: it comes with the last line */
		snprintf(text, sizeof text, "licence: %.140s", licence);
		progress_bytes(arg, text, 0, 0);
	}
	if (status)
		progress_bytes(
			arg, status, bytes_of(line, "completed"), bytes_of(line, "total"));
	return OK;
}

/* ---- wheel ---- */

void wheel_init(struct wheel *w)
{
	*w = (struct wheel){ .on = tty_moves(2), .last_ms = time_mono_ms() };
}

void wheel_turn(struct wheel *w)
{
	static const char *const frames[] = { "\u280b", "\u2819", "\u2839", "\u2838", "\u283c",
		"\u2834", "\u2826", "\u2827", "\u2807", "\u280f" };
	int64_t now = time_mono_ms();
	if (!w->on || now - w->last_ms < WHEEL_MS)
		return;
	fprintf(stderr, "\r%s ", frames[w->frame++ % 10]);
	fflush(stderr);
	w->last_ms = now;
}

void wheel_end(struct wheel *w)
{
	if (w->on && w->frame)
		fputs("\r\033[K", stderr);
	w->on = false;
}
