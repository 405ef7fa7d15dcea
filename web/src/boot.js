/* Runs before the first paint: the theme and language this browser used last. */
(function () {
	var root = document.documentElement;
	try {
		var theme = localStorage.getItem("tresor.theme");
		if (theme === "light" || theme === "dark") root.dataset.theme = theme;
		var language = localStorage.getItem("tresor.language");
		if (language === "de" || language === "en") root.lang = language;
	} catch (_) {
		/* no storage: the system's theme it is */
	}
})();
