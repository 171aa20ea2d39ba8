import { TrainerError } from '../errors.js';

/** Longest purpose of an operation: message header, control block and flight ring have a field of this size. */
export const MAX_PURPOSE_BYTES = 40;

const encodings = new Map<string, Uint8Array>();

/**
 * Encodes an operation's purpose for shared memory and the wire.
 *
 * @throws TrainerError `INTERNAL` if it is too long or not ASCII: cut names could collide
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
