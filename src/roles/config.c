#include "roles/config.h"

#include <stddef.h>
#include <stdio.h>

#include "os/fd.h"

enum { CONFIG_FILE_MAX = 64 * 1024 };

struct field {
	const char *key;
	size_t offset, size; /* size 0: int64 */
	int64_t min, max;
	const char *choices; /* "|auto|off|" or NULL */
};
#define TEXT(k)                                                                                    \
	{                                                                                          \
#k, offsetof(struct config, k), sizeof(((struct config *)0)->k), 0, 0, NULL        \
	}
#define CHOICE(k, c)                                                                               \
	{                                                                                          \
#k, offsetof(struct config, k), sizeof(((struct config *)0)->k), 0, 0, c           \
	}
#define NUMBER(k, lo, hi)                                                                          \
	{                                                                                          \
#k, offsetof(struct config, k), 0, lo, hi, NULL                                    \
	}

static const struct field fields[] = {
	TEXT(listen),
	TEXT(hosts),
	TEXT(tls_cert),
	TEXT(tls_key),
	TEXT(behind_proxy),
	CHOICE(key, "|auto|file|passphrase|tpm|"),
	TEXT(key_file),
	TEXT(passphrase_file),
	CHOICE(gpu, "|auto|off|software|"),
	TEXT(name),
	NUMBER(http_threads, 1, 16),
	NUMBER(workers, 2, 256),
	NUMBER(max_connections, 16, 65536),
	NUMBER(max_engines, 0, 16),
	NUMBER(context, 0, 1 << 22),
	NUMBER(sequences, 0, 64),
	NUMBER(keep_alive_s, -1, 31536000),
	NUMBER(disk_cache_mib, 0, 16 << 20),
};

static const struct config_doc docs[] = {
	{ "listen", "127.0.0.1:7070",
		"addresses and ports, separated by commas; any other than "
		"loopback is served by TLS 1.3 only",
		false },
	{ "hosts", "", "names and addresses that people type; they stand in the certificate",
		true },
	{ "tls_cert", "", "certificate chain (PEM); empty: an own CA, made on first start", true },
	{ "tls_key", "", "its private key (PEM)", true },
	{ "behind_proxy", "", "networks (CIDR) whose X-Forwarded-For and -Proto count", false },
	{ "key", "auto",
		"where the master key comes from: file, passphrase or tpm; auto takes what "
		"the data directory was made with, and file for a new one",
		false },
	{ "key_file", "", "the key file; empty: ~/.config/tresor/INSTANCE.key", false },
	{ "passphrase_file", "", "file or pipe with the passphrase; empty: asked on the terminal",
		false },
	{ "gpu", "auto",
		"auto uses the graphics cards that the engine build can use; off; software: for "
		"tests, a device that Vulkan makes of the processor counts as a card, too",
		false },
	{ "name", "Tresor", "of this installation, shown on the page", false },
	{ "http_threads", "1", "threads that serve sockets", false },
	{ "workers", "8", "threads that handle requests", false },
	{ "max_connections", "4096", "open connections", false },
	{ "max_engines", "0", "models loaded at once; 0: as many as fit into memory", false },
	{ "context", "0", "cells of context a model gets in all; 0: by the model and memory",
		false },
	{ "sequences", "0", "answers made together by one model; 0: chosen by the engine", false },
	{ "keep_alive_s", "300", "a model unused so long is unloaded; -1: never", false },
	{ "disk_cache_mib", "4096",
		"what a model has read already is kept on disk, sealed, so that it is not read "
		"again after a restart: at most so many MiB a model, and a quarter of what is "
		"free; 0: not at all",
		false },
	{ NULL, NULL, NULL, false },
};

const struct config_doc *config_docs(void)
{
	return docs;
}

enum err config_set(struct config *c, struct str key, struct str value, struct err_info *info)
{
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const struct field *f = &fields[i];
		if (!str_eq(key, str_from(f->key)))
			continue;
		void *at = (char *)c + f->offset;
		if (!f->size) {
			int64_t n;
			if (str_to_i64(value, &n) || n < f->min || n > f->max)
				return err_set(info, ERR_INVALID,
					"%s must be a number from %lld to %lld", f->key,
					(long long)f->min, (long long)f->max);
			memcpy(at, &n, sizeof n);
			return OK;
		}
		char choice[CONFIG_TEXT];
		snprintf(choice, sizeof choice, "|%.*s|", STR_ARG(str_sub(value, 0, 64)));
		bool one = str_find_byte(value, '|', 0) == SIZE_MAX;
		if (f->choices && !(one && strstr(f->choices, choice)))
			return err_set(
				info, ERR_INVALID, "%s must be one of %s", f->key, f->choices);
		if (str_has_control(value) || str_copy(value, at, f->size))
			return err_set(info, ERR_INVALID,
				"the value of %s is too long or has control characters", f->key);
		return OK;
	}
	return err_set(info, ERR_INVALID, "unknown key \"%.*s\"", STR_ARG(str_sub(key, 0, 64)));
}

void config_defaults(struct config *c)
{
	*c = (struct config){ 0 };
	for (const struct config_doc *d = docs; d->key; d++)
		if (config_set(c, str_from(d->key), str_from(d->value), NULL))
			DIE("a default in the table is not valid");
}

const char *config_needs_restart(const struct config *a, const struct config *b, size_t *at)
{
	for (; docs[*at].key; (*at)++) {
		const struct field *f = &fields[*at]; /* both tables have the same order */
		const char *was = (const char *)a + f->offset, *is = (const char *)b + f->offset;
		if (strcmp(f->key, docs[*at].key))
			DIE("the two tables of tresor.conf differ");
		bool same = f->size ? !strcmp(was, is) : !memcmp(was, is, sizeof(int64_t));
		if (!docs[*at].reload && !same)
			return docs[(*at)++].key;
	}
	return NULL;
}

static enum err set_line(
	struct config *c, struct str line, unsigned number, uint32_t *seen, struct err_info *info)
{
	struct str text = str_trim(line);
	if (!text.len || text.ptr[0] == '#')
		return OK;
	size_t eq = str_find_byte(text, '=', 0);
	if (eq == SIZE_MAX)
		return err_set(info, ERR_INVALID, "tresor.conf line %u: not `key = value`", number);
	struct str key = str_trim(str_sub(text, 0, eq)),
		   value = str_trim(str_sub(text, eq + 1, SIZE_MAX));
	struct err_info why = { 0 };
	enum err e = config_set(c, key, value, &why);
	if (e)
		return err_set(info, e, "tresor.conf line %u: %s", number, why.detail);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (str_eq(key, str_from(fields[i].key))) {
			if (*seen & 1u << i)
				return err_set(info, ERR_INVALID,
					"tresor.conf line %u: %s is set twice", number,
					fields[i].key);
			*seen |= 1u << i;
		}
	return OK;
}

enum err config_parse(struct config *c, struct str text, struct err_info *info)
{
	struct str line;
	uint32_t seen = 0;
	for (unsigned n = 1; str_next(&text, '\n', &line); n++)
		TRY(set_line(c, line, n, &seen, info));
	return OK;
}

enum err config_load(struct config *c, const char *dir, struct err_info *info)
{
	char path[4096];
	AUTO_BUF struct buf text = BUF(CONFIG_FILE_MAX);
	TRY(path_join(path, sizeof path, dir, "tresor.conf"));
	enum err e = file_read(path, &text);
	if (e == ERR_NOT_FOUND)
		return OK;
	if (e)
		return err_set(info, e, "cannot read tresor.conf");
	return config_parse(c, buf_str(&text), info);
}
