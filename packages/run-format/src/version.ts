import { TrainerError } from './errors.js';

/** @param locmoe version of the program that wrote the file, if known */
export function unsupported(file: string, version: unknown, reads: number, locmoe?: string): TrainerError {
  const writer = locmoe === undefined ? 'the locmoe that' : `locmoe ${locmoe}, which`;
  return new TrainerError(
    'BAD_INPUT',
    `${file}: has version ${version}; this locmoe reads version ${reads}: use ${writer} wrote it`,
  );
}
