/* A CPU module that says how well it suits: SCORE, as the library's own do. */
int ggml_backend_score(void);
int ggml_backend_score(void)
{
	return SCORE;
}
