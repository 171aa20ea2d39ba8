import { TrainerError } from 'locmoe/internal/errors';

const MAX_TRIES = 3;

/**
 * Measures again what other work on the machine has hidden: the fit then puts a cost at 0, and a plan would take for free
 * what is not.
 *
 * @param hidden what costs nothing by a result; null if there is no such thing
 * @throws TrainerError `NO_RESOURCE` if something is hidden in every try
 */
export async function measureVisible<T>(
  measure: () => Promise<T>,
  hidden: (result: T) => string | null,
  log: (line: string) => void,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const result = await measure();
    const what = hidden(result);
    if (what === null) return result;
    if (tries === MAX_TRIES)
      throw new TrainerError(
        'NO_RESOURCE',
        `${what} cost nothing in ${MAX_TRIES} measurements: other work on this machine hides it; calibrate while there is none`,
      );
    log(`  ${what} seem to cost nothing, so other work on this machine hides it; measuring again`);
  }
}
