/*
 * The collectives of `locmoe bench collectives` in MPI, under the same rules: each case is verified, warmed
 * up, timed a few times to agree on a number of repetitions, then repeated; rank 0 prints durations in ms.
 *
 *   collectives_mpi CASE_MS LEAST_REPETITIONS MOST_REPETITIONS COLLECTIVE:BYTES:WARM_UPS...
 *
 * BYTES are per pair of ranks (all-to-all) or of the vector (all-reduce), float32. One line of JSON per case.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 3

static int rank, world;

static void fail(const char *what) {
  fprintf(stderr, "rank %d: %s\n", rank, what);
  MPI_Abort(MPI_COMM_WORLD, 3);
}

static float *allocate(size_t count) {
  float *memory = NULL;
  if (posix_memalign((void **)&memory, 4096, count * sizeof(float) + 4096) != 0) fail("out of memory");
  memset(memory, 0, count * sizeof(float));
  return memory;
}

struct exchange {
  int is_all_to_all;
  int count; /* floats per pair, or of the vector */
  float *sends, *receives;
};

static void run(const struct exchange *e) {
  if (e->is_all_to_all)
    MPI_Alltoall(e->sends, e->count, MPI_FLOAT, e->receives, e->count, MPI_FLOAT, MPI_COMM_WORLD);
  else
    MPI_Allreduce(MPI_IN_PLACE, e->sends, e->count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

/* Element i of what `from` sends to `to`; exact in float32. */
static float element(int from, int to, int i) { return from * 32 + to + (i % 1021) / 1024.0f; }

static void verify(const struct exchange *e) {
  if (e->is_all_to_all) {
    for (int to = 0; to < world; to++)
      for (int i = 0; i < e->count; i++) e->sends[(size_t)to * e->count + i] = element(rank, to, i);
    run(e);
    for (int from = 0; from < world; from++)
      for (int i = 0; i < e->count; i++)
        if (e->receives[(size_t)from * e->count + i] != element(from, rank, i)) fail("all-to-all is wrong");
    return;
  }
  for (int i = 0; i < e->count; i++) e->sends[i] = (rank + 1) * (1 + i % 13);
  run(e);
  for (int i = 0; i < e->count; i++)
    if (e->sends[i] != world * (world + 1) / 2 * (1 + i % 13)) fail("all-reduce is wrong");
  /* Zeros, so that repeated sums do not overflow. */
  memset(e->sends, 0, e->count * sizeof(float));
}

static double timed_ms(const struct exchange *e) {
  double started = MPI_Wtime();
  run(e);
  return (MPI_Wtime() - started) * 1000;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int agree_on_count(const struct exchange *e, double case_ms, int least, int most) {
  double trials[TRIALS];
  for (int i = 0; i < TRIALS; i++) trials[i] = timed_ms(e);
  qsort(trials, TRIALS, sizeof(double), by_size);
  double wanted = case_ms / trials[TRIALS / 2];
  int count = wanted < least ? least : wanted > most ? most : (int)wanted;
  MPI_Bcast(&count, 1, MPI_INT, 0, MPI_COMM_WORLD);
  return count;
}

static void time_case(const char *text, double case_ms, int least, int most) {
  char collective[32];
  int bytes, warm_ups;
  if (sscanf(text, "%31[^:]:%d:%d", collective, &bytes, &warm_ups) != 3) fail("cannot read a case");
  struct exchange e = {.is_all_to_all = strcmp(collective, "all-to-all") == 0, .count = bytes / 4};
  size_t floats = (size_t)e.count * (e.is_all_to_all ? world : 1);
  e.sends = allocate(floats);
  e.receives = e.is_all_to_all ? allocate(floats) : NULL;
  verify(&e);
  for (int i = 0; i < warm_ups; i++) run(&e);
  int count = agree_on_count(&e, case_ms, least, most);
  double *ms = malloc(count * sizeof(double));
  if (ms == NULL) fail("out of memory");
  MPI_Barrier(MPI_COMM_WORLD);
  for (int i = 0; i < count; i++) ms[i] = timed_ms(&e);
  if (rank == 0) {
    printf("{\"collective\":\"%s\",\"bytes\":%d,\"ms\":[", collective, bytes);
    for (int i = 0; i < count; i++) printf(i == 0 ? "%.6f" : ",%.6f", ms[i]);
    printf("]}\n");
    fflush(stdout);
  }
  free(ms);
  free(e.sends);
  free(e.receives);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &world);
  if (argc < 5) fail("expected CASE_MS LEAST MOST COLLECTIVE:BYTES:WARM_UPS...");
  for (int i = 4; i < argc; i++) time_case(argv[i], atof(argv[1]), atoi(argv[2]), atoi(argv[3]));
  MPI_Finalize();
  return 0;
}
