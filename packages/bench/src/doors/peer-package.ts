import { TrainerError } from 'locmoe/internal/errors';

/**
 * A development package that measures an export.
 *
 * @throws TrainerError `NO_RESOURCE` where it is not installed, as outside a checkout
 */
export async function peerPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new TrainerError(
      'NO_RESOURCE',
      `${name} cannot be loaded; run this in a checkout`,
      {},
      { cause: error },
    );
  }
}
