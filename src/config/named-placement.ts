import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import { asTrainerError, TrainerError } from '../errors.js';
import { type PlacementFile, placementSchema } from '../routing/groups/placement-file.js';
import type { ConfigSource, Named } from './document.js';
import { fieldOf, withFields } from './fields.js';

/** Enough for 30,000 experts over all layers, and so few that the configuration can be read again. */
const MOST_CHARACTERS = 150_000;
const MAX_BYTES = 2 ** 20;

/**
 * If `moe.placement` is the path of a file, replaces the path by the file's contents, since other machines and resumed
 * runs do not have the file.
 *
 * @param base folder of the configuration file; a path given by `--set` is relative to the working folder
 */
export function namePlacement(value: unknown, source: ConfigSource, base: string): Named {
  const file = fieldOf(fieldOf(value, 'moe'), 'placement');
  if (typeof file !== 'string') return { value, problems: [] };
  const filled = (placement: PlacementFile | null) => withFields(value, 'moe', { placement });
  try {
    const from = source.isOverridden(['moe', 'placement']) ? process.cwd() : base;
    return { value: filled(readPlacement(path.resolve(from, file))), problems: [] };
  } catch (error) {
    const { message } = asTrainerError(error);
    return { value: filled(null), problems: [{ path: ['moe', 'placement'], message }] };
  }
}

/** @throws TrainerError `BAD_INPUT` if the file is not a placement; the file system's error */
function readPlacement(file: string): PlacementFile {
  const text = readRegularFile(file, MAX_BYTES).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${file}: is no JSON (${(error as Error).message})`);
  }
  const { data, error } = placementSchema.safeParse(json);
  if (error !== undefined) {
    const [{ path: field, message } = { path: [], message: '' }] = error.issues;
    const where = field.length === 0 ? '' : `${field.join('.')}: `;
    throw new TrainerError('BAD_INPUT', `${file}: is no placement of experts (${where}${message})`);
  }
  const { length } = JSON.stringify(data);
  if (length > MOST_CHARACTERS)
    throw new TrainerError(
      'BAD_INPUT',
      `${file}: has ${length} characters without spaces; a placement has at most ${MOST_CHARACTERS}`,
    );
  return data;
}
