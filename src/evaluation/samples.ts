import { accessSync, constants, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { writeDurably } from '../checkpoint/durable.js';
import { TrainerError } from '../errors.js';
import type { LogLikelihood } from '../inference/log-likelihood.js';
import { sha256 } from '../sha256.js';
import { asTexts, objectIn } from './json-line.js';
import { refusal } from './question.js';
import { asText, readBytes } from './read-text.js';

/** Contents of a line of a samples file. */
export interface SampleParts {
  readonly docId: number;
  readonly doc: unknown;
  /** Index of the right option. */
  readonly answer: number;
  /** How the options were scored. */
  readonly filter: string;
  /** Context and continuation by option, then the options without a context if these were scored, too. */
  readonly requests: readonly (readonly [context: string, continuation: string])[];
  readonly logLikelihoods: readonly LogLikelihood[];
  readonly metrics: Readonly<Record<string, number>>;
  /** Further fields. */
  readonly more: Readonly<Record<string, unknown>>;
}

/** Returns a line of a samples file, with the names and hashes of lm-evaluation-harness. */
export function sampleLine(parts: SampleParts): string {
  const { docId, doc, answer, filter, requests, logLikelihoods, metrics, more } = parts;
  // The harness writes numbers as texts here, and booleans as Python does.
  const responses = logLikelihoods.map(({ sum, isGreedy }) => [`${sum}`, isGreedy ? 'True' : 'False']);
  const named = requests.map(([context, continuation], i) => [
    `gen_args_${i}`,
    { arg_0: context, arg_1: continuation },
  ]);
  return JSON.stringify({
    doc_id: docId,
    doc,
    target: `${answer}`,
    arguments: Object.fromEntries(named),
    resps: responses.map((response) => [response]),
    filtered_resps: responses,
    filter,
    metrics: Object.keys(metrics),
    doc_hash: sha256(JSON.stringify(doc, null, 2)),
    prompt_hash: sha256(requests[0]![0]),
    target_hash: sha256(`${answer}`),
    ...metrics,
    ...more,
  });
}

/**
 * Checks before a long evaluation that a samples file can be written.
 *
 * @throws TrainerError `NO_RESOURCE` if it cannot be written
 */
export function checkPlace(file: string): void {
  try {
    // The new file replaces an existing one, and a device or a pipe would be lost.
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === false)
      throw new Error('it is no regular file');
    accessSync(path.dirname(path.resolve(file)), constants.W_OK);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}

/**
 * Writes a samples file completely or not at all.
 *
 * @throws TrainerError `NO_RESOURCE` if it cannot be written
 */
export function writeSamples(file: string, lines: Iterable<string>): void {
  const unfinished = `${file}.${process.pid}.tmp`;
  try {
    writeDurably(unfinished, bytesOf(lines));
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw cannotWrite(file, error);
  }
}

function* bytesOf(lines: Iterable<string>): Generator<Buffer> {
  for (const line of lines) yield Buffer.from(`${line}\n`);
}

function cannotWrite(file: string, error: unknown): TrainerError {
  return new TrainerError(
    'NO_RESOURCE',
    `--samples ${file}: ${(error as Error).message}`,
    {},
    { cause: error },
  );
}

/** Fields of a line that a comparison needs. */
export interface StoredSample {
  readonly docHash: string;
  readonly promptHash: string;
  readonly targetHash: string;
  readonly filter: string;
  /** Metrics whose values are 0 or 1. */
  readonly metrics: ReadonlyMap<string, number>;
}

const EXPECTED = 'a samples file of locmoe eval or lm-evaluation-harness is expected';

/**
 * Reads the samples that `locmoe eval --samples` or lm-evaluation-harness wrote.
 *
 * @throws TrainerError `BAD_INPUT` with file and line
 */
export function readSamples(file: string): StoredSample[] {
  const lines = asText(file, readBytes(file)).split('\n');
  return lines.flatMap((line, i) => (line.trim() === '' ? [] : [storedSample(`${file}:${i + 1}`, line)]));
}

function storedSample(place: string, line: string): StoredSample {
  const fields = objectIn(place, line, EXPECTED);
  const textOf = (name: string): string => {
    const value = fields?.[name];
    if (typeof value === 'string') return value;
    throw refusal(place, `has no text in "${name}"; ${EXPECTED}`);
  };
  const metrics = new Map<string, number>();
  for (const name of asTexts(fields?.metrics) ?? []) {
    const value = fields?.[name];
    if (value === 0 || value === 1) metrics.set(name, value);
  }
  return {
    docHash: textOf('doc_hash'),
    promptHash: textOf('prompt_hash'),
    targetHash: textOf('target_hash'),
    filter: textOf('filter'),
    metrics,
  };
}
