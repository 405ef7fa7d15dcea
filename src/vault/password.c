/* Passwords: the rule, and hashing with a bound on memory (vault/login.h). */
#include <errno.h>
#include <time.h>

#include "base/time.h"
#include "vault/vault_int.h"

enum { HASHING_MAX = 2, WAITING_MAX = 3, WAIT_MS = 2000, PASSWORD_MIN = 10 };

/* The most common ones that are long enough, in lower case (public breach statistics, English and
 * German). Repetitions and runs are caught by rule below. */
static const char *const common[] = {
	"1234567890", "12345678910", "1q2w3e4r5t", "1q2w3e4r5t6z", "1q2w3e4r5t6y",
	"1qaz2wsx3edc", "1qaz2wsx3e", "q1w2e3r4t5",
	"q1w2e3r4t5z6", "q1w2e3r4t5y6", "qwertyuiop", "qwertzuiop", "qwertyuiop123", "qwerty12345",
	"qwerty123456", "qwertz12345", "qwertz123456", "qwerty1234", "qwertz1234", "asdfghjkl123",
	"asdfghjkl1", "yxcvbnm123", "zxcvbnm123", "zxcvbnm1234", "password12", "password123",
	"password1234", "password12345", "password123456", "password1!", "password12!",
	"password123!", "passw0rd123", "passw0rd1234", "p@ssw0rd123", "p@ssword123", "p@ssw0rd12",
	"p@ssword12", "passwort12", "passwort123", "passwort1234", "passwort12345",
	"passwort123456", "passwort1!", "passwort12!", "passwort123!", "passwordpassword",
	"passwortpasswort", "administrator", "administrator1", "admin12345", "admin123456",
	"adminadmin", "adminadmin1", "rootrootroot", "letmein123", "letmein1234", "welcome123",
	"welcome1234", "welcome123!", "welcome2024", "welcome2025", "welcome2026", "willkommen",
	"willkommen1", "willkommen12", "willkommen123", "willkommen1!", "willkommen2024",
	"willkommen2025", "willkommen2026", "hallo12345", "hallo123456", "hallohallo", "hallo1234!",
	"schatz12345", "schatzi123", "iloveyou12", "iloveyou123", "iloveyou1234", "ichliebedich",
	"ichliebedich1", "geheim12345", "geheim1234", "geheim123456", "geheimnis1", "geheimnis123",
	"sommer2024", "sommer2025", "sommer2026", "sommer2024!", "sommer2025!", "sommer2026!",
	"winter2024", "winter2025", "winter2026", "winter2024!", "winter2025!", "winter2026!",
	"herbst2024", "herbst2025", "herbst2026", "summer2024", "summer2025", "summer2026",
	"spring2024", "spring2025", "spring2026", "autumn2024", "autumn2025", "autumn2026",
	"fruehling2024", "fruehling2025", "fruehling2026", "deutschland", "deutschland1",
	"deutschland123", "fussball123", "football123", "baseball123", "superman123", "batman12345",
	"dragon12345", "monkey12345", "princess123", "sunshine123", "sunshine12", "starwars123",
	"master12345", "computer123", "computer12", "internet123", "changeme123", "changeme12",
	"changeme1234", "changeme123!", "trustno1234", "michael123", "michael1234", "charlie123",
	"jessica123", "jennifer123", "samsung123", "google12345", "facebook123", "linkedin123",
	"microsoft1", "microsoft123", "liverpool1", "liverpool123", "chelsea123", "arsenal123",
	"bayern12345", "borussia09", "borussia1909", "schalke1904", "abcdefghij", "abcdefghijk",
	"abcd123456", "abc1234567", "abc12345678", "abc123456789", "a123456789", "a1234567890",
	"1234567890a", "1234567890q", "12345qwert", "12345qwertz", "123456qwerty", "123qweasdzxc",
	"123qweasd123", "qweasdzxc123", "qweasdyxc123", "qazwsxedcrfv", "qazwsxedc1", "qazwsx1234",
	"1111122222", "1122334455", "112233445566", "0987654321", "9876543210", "987654321a",
	"1357924680", "2468135790", "1212121212", "1231231231", "1231231234", "123123123123",
	"testtesttest", "test123456", "test1234567", "testpassword", "testpasswort", "demodemodemo",
	"secret12345", "secret123456", "supersecret", "supersecret1", "topsecret1", "topsecret123",
	"whatever123", "blink182123", "pokemon123", "naruto12345", "minecraft1", "minecraft123",
	"fortnite123", "counterstrike", "starcraft123", "thebeatles", "metallica1", "metallica123",
	"christopher", "elizabeth1", "alexander1", "alexander123", "maximilian", "maximilian1",
	"katharina1", "franziska1", "christian1", "christian123", "sebastian1", "sebastian123",
	"stephanie1", "butterfly1", "butterfly123", "strawberry", "strawberry1", "erdbeere123",
	"schmetterling", "sonnenschein", "sonnenschein1", "sonnenblume", "regenbogen",
	"regenbogen1",
	"rumpelstilzchen", "teddybaer1", "motherfucker", "fuckyou123", "fuckyou1234", "arschloch1",
	"arschloch123", "scheisse123", "tresortresor", "tresor1234", "tresor12345", "tresor123456",
};

/* One character over and over, or a run such as 12345.. or zyxw.. all through. */
static bool is_run(struct str s)
{
	for (int step = -1; step <= 1; step++) {
		size_t i = 1;
		while (i < s.len && (unsigned char)s.ptr[i] - (unsigned char)s.ptr[i - 1] == step)
			i++;
		if (i == s.len)
			return true;
	}
	return false;
}

static size_t characters(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
	return n;
}

enum err password_check(struct str password, struct str email, struct err_info *info)
{
	if (password.len > LIMIT_PASSWORD)
		return err_set(info, ERR_INVALID, "the password is too long");
	if (!str_is_utf8(password) || memchr(password.ptr ? password.ptr : "", 0, password.len))
		return err_set(info, ERR_INVALID, "the password is not valid text");
	if (characters(password) < PASSWORD_MIN)
		return err_set(info, ERR_INVALID, "the password has fewer than %d characters",
			       (int)PASSWORD_MIN);
	size_t at = str_find_byte(email, '@', 0);
	if (email.len && (str_eq_nocase(password, email) ||
			  (at != SIZE_MAX && str_eq_nocase(password, str_sub(email, 0, at)))))
		return err_set(info, ERR_INVALID, "the password is the e-mail address");
	bool bad = is_run(password);
	for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
		bad = bad || str_eq_nocase(password, str_from(common[i]));
	if (bad)
		return err_set(info, ERR_INVALID, "the password is one of the most common ones");
	return OK;
}

/* A turn at hashing. Argon2id takes tens of MiB: unbounded, a few requests would end the server. */
static enum err turn_begin(struct vault *v, struct err_info *info)
{
	enum err e = OK;
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_MS / 1000;
	pthread_mutex_lock(&v->lock);
	if (v->hashing >= HASHING_MAX && v->waiting >= WAITING_MAX)
		e = ERR_BUSY;
	v->waiting += !e;
	while (!e && v->hashing >= HASHING_MAX)
		if (pthread_cond_timedwait(&v->turn, &v->lock, &until) == ETIMEDOUT &&
		    v->hashing >= HASHING_MAX) {
			v->waiting--;
			e = ERR_BUSY;
		}
	if (!e) {
		v->waiting--;
		v->hashing++;
	}
	pthread_mutex_unlock(&v->lock);
	return e ? err_set(info, e, "too many log-ins at once; try again in a few seconds") : OK;
}

static void turn_end(struct vault *v)
{
	pthread_mutex_lock(&v->lock);
	v->hashing--;
	pthread_cond_signal(&v->turn);
	pthread_mutex_unlock(&v->lock);
}

enum err password_make(struct vault *v, struct str password, char ret[PASSWORD_HASH_MAX],
		       struct err_info *info)
{
	TRY(turn_begin(v, info));
	enum err e = password_hash(password, v->strength, ret);
	turn_end(v);
	return e;
}

/* The hash that nobody's password has, made at the first log-in of any kind, whoever it is. */
static enum err dummy(struct vault *v, char ret[PASSWORD_HASH_MAX])
{
	pthread_mutex_lock(&v->lock);
	memcpy(ret, v->dummy, PASSWORD_HASH_MAX);
	pthread_mutex_unlock(&v->lock);
	if (ret[0])
		return OK;
	char noise[TOKEN_LEN + 1];
	token_make(noise);
	TRY(password_hash(str_from(noise), v->strength, ret));
	pthread_mutex_lock(&v->lock);
	memcpy(v->dummy, ret, PASSWORD_HASH_MAX);
	pthread_mutex_unlock(&v->lock);
	return OK;
}

enum err password_verify(struct vault *v, struct str password, const char *hash, bool *ret,
			 struct err_info *info)
{
	char other[PASSWORD_HASH_MAX];
	TRY(turn_begin(v, info));
	enum err e = dummy(v, other);
	if (!e) {
		bool good = password_ok(password, hash[0] ? hash : other);
		*ret = good && hash[0];
	}
	turn_end(v);
	return e;
}
