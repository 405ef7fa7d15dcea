/* The editor against a terminal model: keys in, screen out. Expected screens are drawn by hand from
 * what the keys mean (xterm ctlseqs) and how wide the characters are (UAX 11). */
#include "cli/edit.h"

#include "cli/test_screen.h"
#include "cli/width.h"
#include "tests/test.h"

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"
#define PASTE(text) "\033[200~" text "\033[201~"

struct desk {
	struct history *history;
	struct edit *edit;
	struct screen screen;
	struct edit_look look;
	enum edit_event event; /* of the last keys */
	size_t used;
};

static void show(struct desk *d, struct buf *out)
{
	CHECK_OK(out->err);
	screen_write(&d->screen, out->ptr ? buf_str(out) : STR(""));
}

static void begin(struct desk *d)
{
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	CHECK_OK(edit_begin(d->edit, &d->look, STR(""), &out));
	show(d, &out);
}

static void open_desk(struct desk *d, unsigned columns, unsigned rows)
{
	width_init();
	*d = (struct desk){ .look = { .prompt = ">>> ",
				    .more = "... ",
				    .hint = "",
				    .columns = columns,
				    .rows = rows } };
	screen_init(&d->screen, columns, rows);
	CHECK_OK(history_new(NULL, &d->history, NULL));
	CHECK_OK(edit_new(d->history, &d->edit));
	begin(d);
}

static void close_desk(struct desk *d)
{
	edit_free(d->edit);
	history_free(d->history);
}

/* Types keys, all at once or byte by byte. */
static void type_in(struct desk *d, const char *keys, bool slowly)
{
	struct str in = str_from(keys);
	d->event = EDIT_MORE;
	for (size_t i = 0; i < in.len && d->event == EDIT_MORE; i += d->used) {
		AUTO_BUF struct buf out = BUF(SIZE_MAX);
		struct str some = str_sub(in, i, slowly ? 1 : in.len);
		CHECK_OK(edit_feed(d->edit, some, &d->used, &d->event, &out));
		show(d, &out);
	}
}

static void check_cursor(const struct desk *d, unsigned row, unsigned column)
{
	CHECK_EQ_INT(d->screen.row, row);
	CHECK_EQ_INT(d->screen.column, column);
}

/* What the keys leave in the text, both ways of typing. */
static void expect(const char *keys, const char *text)
{
	for (int slowly = 0; slowly < 2; slowly++) {
		struct desk d;
		open_desk(&d, 40, 10);
		type_in(&d, keys, slowly);
		CHECK_EQ_STR(edit_text(d.edit), str_from(text));
		close_desk(&d);
	}
}

TEST(keys_move_and_delete)
{
	expect("abc", "abc");
	expect("abc\001X", "Xabc");                 /* Ctrl+A */
	expect("abc\001\005X", "abcX");             /* Ctrl+E */
	expect("abc\033[HX", "Xabc");               /* Home, CSI */
	expect("abc\033OHX\033OFY", "XabcY");       /* Home, End, SS3 */
	expect("abc\033[1~X\033[4~Y", "XabcY");     /* Home, End, VT */
	expect("abc" LEFT LEFT "X", "aXbc");
	expect("abc" LEFT LEFT RIGHT "X", "abXc");
	expect("abc\002\002X\006Y", "aXbYc");       /* Ctrl+B, Ctrl+F */
	expect("one two three\033bX", "one two Xthree"); /* Alt+B */
	expect("one two\001\033fX", "oneX two");    /* Alt+F */
	expect("one two\033[1;5DX", "one Xtwo");    /* Ctrl+Left */
	expect("one two\001\033[1;3CX", "oneX two"); /* Alt+Right */
	expect("one two\177\010", "one t");         /* Backspace, Ctrl+H */
	expect("abc\001\033[3~", "bc");             /* Delete */
	expect("abc\001\004", "bc");                /* Ctrl+D */
	expect("one two\027", "one ");              /* Ctrl+W */
	expect("one two  \027X", "one X");
	expect("one two\033\177", "one ");          /* Alt+Backspace */
	expect("one two\001\033d", " two");         /* Alt+D */
	expect("one two\033b\013", "one ");         /* Ctrl+K */
	expect("one two\033b\025", "two");          /* Ctrl+U */
	expect("\177\033[3~\027\013\025" LEFT RIGHT UP DOWN "a", "a"); /* nothing there */
}

TEST(unknown_sequences_and_bytes_that_are_no_text_are_dropped)
{
	expect("a\033[99~b\033[?25lc\033[<1;2Md\033Qe", "abcde");
	expect("a\xff\xc0\x80" "b\xed\xa0\x80" "c\xc2\x9b" "d", "abcd"); /* invalid, C1 */
	expect("a\001\013\023\024\030\034x", "x");
	expect("\xe2\x82\xac\xe2\x82", "\xe2\x82\xac"); /* the second euro sign waits for its end */
}

TEST(characters_of_more_bytes_and_columns_are_one_step)
{
	expect("\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80" LEFT "X",
		"\xc3\xa9\xe4\xbd\xa0X\xf0\x9f\x98\x80");
	expect("ae\xcc\x81" "b" LEFT "\177", "ab"); /* e and its accent go together */
	struct desk d;
	open_desk(&d, 40, 10);
	type_in(&d, "\xe4\xbd\xa0\xe5\xa5\xbd" "e\xcc\x81!", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> \xe4\xbd\xa0\xe5\xa5\xbd" "e\xcc\x81!");
	check_cursor(&d, 0, 10);
	type_in(&d, LEFT LEFT LEFT, false);
	check_cursor(&d, 0, 6);
	close_desk(&d);
}

TEST(events_end_the_text_and_leave_the_rest_of_the_input)
{
	static const struct {
		const char *keys;
		enum edit_event event;
	} table[] = { { "a\rb", EDIT_LINE }, { "a\003b", EDIT_INTERRUPT }, { "\004", EDIT_END },
		{ "a\007b", EDIT_EDITOR }, { "a\032b", EDIT_SUSPEND }, { "a\004", EDIT_MORE } };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct desk d;
		open_desk(&d, 40, 10);
		type_in(&d, table[i].keys, false);
		CHECK_EQ_INT(d.event, table[i].event);
		if (d.event != EDIT_END)
			CHECK_EQ_STR(edit_text(d.edit), STR("a"));
		CHECK_EQ_INT(d.used, d.event == EDIT_END ? 1 : 2);
		close_desk(&d);
	}
}

TEST(a_line_that_is_left_stands_above_the_cursor)
{
	struct desk d;
	open_desk(&d, 40, 10);
	type_in(&d, "hello\001\r", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> hello");
	check_cursor(&d, 1, 0);
	begin(&d);
	type_in(&d, "again\007", false); /* to the editor: nothing of it stays */
	CHECK_EQ_Z(screen_text(&d.screen), ">>> hello");
	check_cursor(&d, 1, 0);
	close_desk(&d);
}

TEST(long_text_wraps_at_the_window_and_the_cursor_is_where_it_belongs)
{
	struct desk d;
	open_desk(&d, 12, 10);
	type_in(&d, "abcdefgh", false); /* fills the row */
	check_cursor(&d, 1, 0);
	type_in(&d, "ij", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abcdefgh\nij");
	check_cursor(&d, 1, 2);
	type_in(&d, LEFT LEFT LEFT, false);
	check_cursor(&d, 0, 11);
	type_in(&d, "X", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abcdefgX\nhij");
	type_in(&d, "\013\177\177", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abcdef");
	close_desk(&d);
	/* a wide character does not fit into the last column */
	open_desk(&d, 12, 10);
	type_in(&d, "abcdefg\xe4\xbd\xa0z", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abcdefg\n\xe4\xbd\xa0z");
	type_in(&d, LEFT LEFT, false);
	check_cursor(&d, 1, 0);
	close_desk(&d);
}

TEST(what_stands_above_stays)
{
	struct desk d;
	open_desk(&d, 12, 10);
	screen_write(&d.screen, STR("\r\nold 1\r\nold 2\r\n"));
	begin(&d);
	type_in(&d, "abcdefghij\nk", false);
	type_in(&d, UP LEFT LEFT "\001\005" DOWN LEFT UP "!", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>>\nold 1\nold 2\n>>> !abcdefg\nhij\n... k");
	check_cursor(&d, 3, 5);
	type_in(&d, "\r", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>>\nold 1\nold 2\n>>> !abcdefg\nhij\n... k");
	check_cursor(&d, 6, 0);
	close_desk(&d);
}

TEST(a_paste_keeps_its_lines_and_sends_nothing)
{
	expect(PASTE("one\rtwo\r\nthree\nfour") "!", "one\ntwo\nthree\nfour!");
	expect("a" PASTE("\003\004b\033[Ac"), "abc"); /* keys in it are no keys */
	expect("a" PASTE("b\033ODc\033OHd"), "abcd");
	expect("a" PASTE("b\033[201Ac\003d"), "abcd"); /* not its end */
	expect("a" PASTE("b\033") "\001X", "Xab");     /* nor is its end a part of what is in it */
	expect("a" PASTE("b\033[1;") "\001X", "Xab");
	struct desk d;
	open_desk(&d, 40, 10);
	type_in(&d, PASTE("int x;\r\treturn;\r"), false);
	CHECK_EQ_INT(d.event, EDIT_MORE);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> int x;\n...     return;\n...");
	check_cursor(&d, 2, 4);
	type_in(&d, "\r", false);
	CHECK_EQ_INT(d.event, EDIT_LINE);
	CHECK_EQ_STR(edit_text(d.edit), STR("int x;\n\treturn;\n"));
	close_desk(&d);
}

TEST(ctrl_j_begins_a_line_and_the_arrows_move_between_them)
{
	expect("one\ntwo" UP "X", "oneX\ntwo");
	expect("one\nt" UP UP UP "X", "oX" "ne\nt"); /* no history: it stays */
	expect("a\nlong\nb" UP UP DOWN "X", "a\nlXong\nb");
	expect("a\nlong" UP "X", "aX\nlong"); /* a shorter line has no such place */
	expect("one\ntwo\001X\025", "one\ntwo");
	expect("one\ntwo" UP "\005\013", "one\ntwo");
}

TEST(the_history_comes_and_the_draft_comes_back)
{
	struct desk d;
	open_desk(&d, 40, 10);
	CHECK_OK(history_add(d.history, STR("first")));
	CHECK_OK(history_add(d.history, STR("second\nline")));
	begin(&d);
	type_in(&d, "draft" UP, false);
	CHECK_EQ_STR(edit_text(d.edit), STR("second\nline"));
	CHECK_EQ_Z(screen_text(&d.screen), ">>> second\n... line");
	type_in(&d, UP UP, false);
	CHECK_EQ_STR(edit_text(d.edit), STR("first"));
	CHECK_EQ_Z(screen_text(&d.screen), ">>> first");
	type_in(&d, UP, false);
	CHECK_EQ_STR(edit_text(d.edit), STR("first"));
	type_in(&d, "\016\016", false); /* Ctrl+N */
	CHECK_EQ_STR(edit_text(d.edit), STR("draft"));
	type_in(&d, "\020", false); /* Ctrl+P */
	CHECK_EQ_STR(edit_text(d.edit), STR("second\nline"));
	close_desk(&d);
}

TEST(what_others_wrote_comes_in_clean)
{
	struct desk d;
	open_desk(&d, 40, 10);
	CHECK_OK(history_add(d.history, STR("a\033[2J\xc2\x9b" "b\a\tc")));
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	CHECK_OK(edit_begin(d.edit, &d.look, STR("x\033]0;t\r\ny\x7f\rz\xff\xe2\x82"), &out));
	show(&d, &out);
	CHECK_EQ_STR(edit_text(d.edit), STR("x]0;t\ny\nz"));
	CHECK_EQ_Z(screen_text(&d.screen), ">>> x]0;t\n... y\n... z");
	check_cursor(&d, 2, 5);
	type_in(&d, UP UP UP, false);
	CHECK_EQ_STR(edit_text(d.edit), STR("a[2Jb\tc"));
	CHECK_EQ_Z(screen_text(&d.screen), ">>> a[2Jb       c");
	check_cursor(&d, 0, 17);
	close_desk(&d);
}

TEST(text_taller_than_the_window_is_shown_around_the_cursor)
{
	struct desk d;
	open_desk(&d, 20, 3);
	type_in(&d, "1\n2\n3\n4\n5", false);
	CHECK_EQ_Z(screen_text(&d.screen), "... 3\n... 4\n... 5");
	check_cursor(&d, 2, 5);
	type_in(&d, UP UP UP UP, false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> 1\n... 2\n... 3");
	check_cursor(&d, 0, 5);
	type_in(&d, DOWN DOWN DOWN "x", false);
	CHECK_EQ_Z(screen_text(&d.screen), "... 2\n... 3\n... 4x");
	close_desk(&d);
}

TEST(clearing_the_screen_keeps_the_text_and_the_hint_goes_with_the_first_key)
{
	struct desk d;
	open_desk(&d, 40, 10);
	d.look.hint = "Send a message";
	begin(&d);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> Send a message");
	check_cursor(&d, 0, 4);
	type_in(&d, "h", false);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> h");
	type_in(&d, "\r", false);
	begin(&d);
	type_in(&d, "abc\014", false); /* Ctrl+L */
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abc");
	check_cursor(&d, 0, 7);
	close_desk(&d);
}

TEST(another_window_is_drawn_anew)
{
	struct desk d;
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	open_desk(&d, 20, 10);
	type_in(&d, "abcdefgh", false);
	d.screen.columns = 8;
	CHECK_OK(edit_resize(d.edit, 8, 10, &out));
	show(&d, &out);
	CHECK_EQ_Z(screen_text(&d.screen), ">>> abcd\nefgh");
	close_desk(&d);
}

TEST(more_than_the_limit_rings_the_bell_and_changes_nothing)
{
	struct desk d;
	AUTO_BUF struct buf much = BUF(SIZE_MAX);
	open_desk(&d, 40, 10);
	for (size_t i = 0; i < EDIT_MAX; i++)
		CHECK_OK(buf_add_byte(&much, 'x'));
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	CHECK_OK(edit_feed(d.edit, buf_str(&much), &d.used, &d.event, &out));
	show(&d, &out);
	CHECK_EQ_INT(edit_text(d.edit).len, EDIT_MAX);
	type_in(&d, "y", false);
	CHECK_EQ_INT(edit_text(d.edit).len, EDIT_MAX);
	CHECK_EQ_INT(d.screen.bells, 1);
	type_in(&d, "\177z", false);
	CHECK(str_ends(edit_text(d.edit), STR("xz")));
	close_desk(&d);
}

TEST(no_memory_loses_a_key_and_no_more)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct history *h = NULL;
		struct edit *e = NULL;
		struct edit_look look = { .prompt = "> ", .more = ". ", .hint = "" };
		AUTO_BUF struct buf out = BUF(SIZE_MAX);
		enum edit_event event;
		size_t used;
		enum err err = history_new(NULL, &h, NULL);
		if (!err)
			err = edit_new(h, &e);
		if (!err)
			err = edit_begin(e, &look, STR("ab"), &out);
		if (!err)
			err = edit_feed(e, STR("cd\nef\033[A\r"), &used, &event, &out);
		CHECK(!err || err == ERR_NOMEM);
		edit_free(e);
		history_free(h);
	}
}
