/* The server decides; the page only says it early. Length is what counts (NIST SP 800-63B). */
export const PASSWORD_MIN = 10;
