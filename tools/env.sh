# Sourced by run, test and the tools: where the cache is, and the company's CA for every client.
# TRESOR_CA_FILE=FILE.pem is trusted beside the system's certificates (pip, npm, apt, curl).
TRESOR_CACHE=${TRESOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tresor}
export TRESOR_CACHE
if [ -n "${TRESOR_CA_FILE-}" ]; then
	if [ ! -r "$TRESOR_CA_FILE" ]; then
		echo "TRESOR_CA_FILE=$TRESOR_CA_FILE cannot be read" >&2
		exit 2
	fi
	mkdir -p "$TRESOR_CACHE"
	cat /etc/ssl/certs/ca-certificates.crt "$TRESOR_CA_FILE" >"$TRESOR_CACHE/ca.pem.$$" 2>/dev/null ||
		cat "$TRESOR_CA_FILE" >"$TRESOR_CACHE/ca.pem.$$"
	mv "$TRESOR_CACHE/ca.pem.$$" "$TRESOR_CACHE/ca.pem"
	PIP_CERT=$TRESOR_CACHE/ca.pem
	SSL_CERT_FILE=$PIP_CERT REQUESTS_CA_BUNDLE=$PIP_CERT CURL_CA_BUNDLE=$PIP_CERT
	NODE_EXTRA_CA_CERTS=$TRESOR_CA_FILE npm_config_cafile=$PIP_CERT
	export PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS npm_config_cafile
fi
