import path from 'node:path';
import { readRegularFile } from '@locmoe/run-format/regular-file';
import type { z } from 'zod';
import { asTrainerError, TrainerError } from '../errors.js';
import { needsSchema } from '../routing/needs-file.js';
import { placementSchema } from '../routing/placement-file.js';
import { type ConfigSource, fieldOf, type Problem, withFields } from './document.js';

interface Named {
  /** The configuration with the contents of the files. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/** Fields of `moe:` that a configuration may give as the path of a file. */
const FIELDS = {
  placement: { what: 'placement of experts', schema: placementSchema },
  needs: { what: 'list of token ids that need experts', schema: needsSchema },
} as const satisfies Readonly<Record<string, { readonly what: string; readonly schema: z.ZodType }>>;
type Field = keyof typeof FIELDS;

/** The fields of `moe:` that may be the path of a file. */
export const FILE_FIELDS = Object.keys(FIELDS) as readonly Field[];

/** A configuration with them, as some 30,000 experts of all layers have, can be read again. */
const MOST_CHARACTERS = 150_000;
const MAX_BYTES = 2 ** 20;

/**
 * Puts the content of a file in the place of its path: other machines, and a run that goes on, do not have the file.
 *
 * @param base folder of the configuration file; a path given by `--set` is relative to the working folder
 */
export function nameFiles(value: unknown, source: ConfigSource, base: string): Named {
  return FILE_FIELDS.reduce<Named>(
    (named, field) => {
      const file = fieldOf(fieldOf(named.value, 'moe'), field);
      if (typeof file !== 'string') return named;
      const filled = (content: unknown) => withFields(named.value, 'moe', { [field]: content });
      try {
        const from = source.isOverridden(['moe', field]) ? process.cwd() : base;
        return { value: filled(readContent(field, path.resolve(from, file))), problems: named.problems };
      } catch (error) {
        const { message } = asTrainerError(error);
        return { value: filled(null), problems: [...named.problems, { path: ['moe', field], message }] };
      }
    },
    { value, problems: [] },
  );
}

/** @throws TrainerError `BAD_INPUT` if the file is not what the field takes; the file system's error */
function readContent(field: Field, file: string): unknown {
  const { what, schema } = FIELDS[field];
  const text = readRegularFile(file, MAX_BYTES).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${file}: is no JSON (${(error as Error).message})`);
  }
  const { data, error } = schema.safeParse(json);
  if (error !== undefined) {
    const [{ path: at, message } = { path: [], message: '' }] = error.issues;
    const where = at.length === 0 ? '' : `${at.join('.')}: `;
    throw new TrainerError('BAD_INPUT', `${file}: is no ${what} (${where}${message})`);
  }
  const { length } = JSON.stringify(data);
  if (length > MOST_CHARACTERS)
    throw new TrainerError(
      'BAD_INPUT',
      `${file}: has ${length} characters without spaces; a ${what} has at most ${MOST_CHARACTERS}`,
    );
  return data;
}
