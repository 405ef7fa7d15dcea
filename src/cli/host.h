/* cli/host.h - which server a command talks to when it is not the data directory's own.
 *
 * $TRESOR_HOST, else for Ollama's commands $OLLAMA_HOST, in Ollama's forms: HOST, HOST:PORT, :PORT,
 * [IPV6]:PORT, IPV6, http(s)://HOST[:PORT][/PATH]. Without a scheme http, and the program's own
 * port (7070, 11434); with one, the scheme's. An address that means "everywhere" to a server
 * (0.0.0.0, ::) means this machine to a client. The text is read by the house's one URL parser
 * (net/url.h). Pure but for host_from_env(). */
#pragma once

#include "net/url.h"

struct host {
	struct buf base; /* "https://ki.example.org:7070/path", without a slash at the end */
	bool loopback;   /* this machine: what is said does not leave it */
	bool https;
	char key[512]; /* $TRESOR_API_KEY, else $OLLAMA_API_KEY; empty: none */
};
void host_done(struct host *h); /* wipes the key */
#define AUTO_HOST [[gnu::cleanup(host_done)]]
/* Fills all but the key. Errors: ERR_INVALID (info says why). */
enum err host_parse(
	struct str text, uint16_t default_port, struct host *ret, struct err_info *info);
/* `ollamas`: the command is one that Ollama has too; others (accounts, keys) do not follow
 * $OLLAMA_HOST, and go over a network only by https. *ret_set false: none of the variables is set.
 * Errors: ERR_INVALID (also: a key for a server that is asked in the clear over a network). */
enum err host_from_env(struct host *ret, bool ollamas, bool *ret_set, struct err_info *info);
