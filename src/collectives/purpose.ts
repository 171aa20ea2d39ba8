import { TrainerError } from '../errors.js';

/** Longest purpose of an operation, in characters: it fits a message's header, a control block and a flight ring. */
export const MAX_PURPOSE_BYTES = 40;

const encodings = new Map<string, Uint8Array>();

/**
 * The purpose of an operation as it stands in shared memory and on the wire.
 *
 * @throws TrainerError `INTERNAL` if it is too long or not ASCII: a name that was cut could be another operation's
 */
export function encodePurpose(purpose: string): Uint8Array {
  const known = encodings.get(purpose);
  if (known !== undefined) return known;
  if (!/^[\x20-\x7e]*$/.test(purpose) || purpose.length > MAX_PURPOSE_BYTES)
    throw new TrainerError(
      'INTERNAL',
      `"${purpose}" cannot name an operation: at most ${MAX_PURPOSE_BYTES} characters of ASCII`,
    );
  const encoded = Buffer.from(purpose, 'latin1');
  encodings.set(purpose, encoded);
  return encoded;
}
