/* cli/table.h - every command and option in one table: parsing, `tresor help` and the man page. */
#pragma once

#include <stdio.h>

#include "base/str.h"

enum { ARGS_MAX = 1024, COMMAND_OPTIONS_MAX = 16 };

struct option_row {
	const char *name; /* "--role", or with its letter "-f --file" */
	const char *arg;  /* "owner|admin|member"; "[=true|false]": only after =; NULL: a switch */
	const char *doc;
};
struct command_row {
	const char *name;     /* "user add": one or two words */
	const char *operands; /* "EMAIL"; "" none */
	unsigned min_operands, max_operands;
	const char *doc;
	bool makes_instance; /* may begin a new data directory */
	struct option_row
		options[COMMAND_OPTIONS_MAX]; /* besides the common ones; ends with NULL */
};
extern const struct command_row command_table[]; /* ends with a NULL name */
extern const struct option_row common_options[]; /* --data, --json, --help; ends with NULL */

struct args {
	const struct command_row *command;
	const char *operand[ARGS_MAX];
	unsigned n_operands;
	const char *value[COMMAND_OPTIONS_MAX]; /* by index in command->options; switches: "" */
	const char *data, *listen_all;          /* listen_all: repeated --listen joined by commas */
	bool json, help;
	char listen_text[512];
};
/* Fills *ret. Returns 0, or 2 after saying on stderr what is wrong. */
int args_parse(int argc, char **argv, struct args *ret);
/* Value of an option, "" for a switch that is set, NULL when absent. */
const char *args_get(const struct args *a, const char *option);
void help_print(FILE *out, const struct command_row *only); /* NULL: all commands */
void man_print(FILE *out);                                  /* mdoc */
/* Environment variables that commands read; ends with a NULL name. */
struct environment_row {
	const char *name, *doc;
};
extern const struct environment_row environment[];
const char *option_long(const struct option_row *row); /* "--file" */
char option_letter(const struct option_row *row);      /* 'f'; 0: none */
/* --data, $TRESOR_DATA, else ${XDG_DATA_HOME:-~/.local/share}/tresor. Absolute. */
enum err data_dir(const struct args *a, char *ret, size_t size);
