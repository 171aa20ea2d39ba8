import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  ROUTE_COLUMNS,
  type RouteColumn,
  RoutesWriter,
  type RouteTable,
} from '@locmoe/run-format/routes-file';
import { documentEnds } from '../../data/document-ends.js';
import { formatCount } from '../../format.js';
import type { Inference } from '../../inference/inference.js';
import { domainId, loadInference } from '../../local/load-inference.js';
import { recordValidation } from '../../model/record-validation.js';
import { interruptible } from '../../os/on-signals.js';
import { assertNewFile } from '../new-file.js';
import { openCheckpoint } from '../open-checkpoint.js';
import { preparationViewOn } from '../preparation-view.js';
import { recordText } from './record-text.js';

export interface RecordOptions {
  readonly checkpoint: string;
  /** Files of text; undefined for the validation text of the checkpoint. */
  readonly text?: readonly string[];
  readonly domain?: string;
  readonly maxTokens: number;
  /** Sequences of each domain of the validation text. */
  readonly sequences?: number;
  readonly dataDir?: string;
  readonly csv?: true;
  readonly output?: string;
}

/** Writes the routes of text to a file, which appears when it is complete. */
export async function recordRoutes(options: RecordOptions): Promise<void> {
  const { text, maxTokens, csv, output = csv ? 'routes.csv' : 'routes.parquet' } = options;
  assertNewFile('--output', output);
  const checkpoint = openCheckpoint(options.checkpoint);
  const domain = text === undefined ? 0 : domainId(checkpoint.manifest.config, options.domain);
  const inference = await loadInference(checkpoint);
  const writer = csv ? new CsvWriter(output) : new RoutesWriter(output, inference.config.moe.numExperts);
  let choices = 0;
  try {
    await interruptible('nothing was recorded', async (signal) => {
      const tables =
        text === undefined
          ? validationRoutes(inference, options)
          : recordText(inference, { patterns: text, domain, maxTokens });
      for await (const table of tables) {
        writer.write(table);
        choices += table.step.length;
        // Signals are handled between two passes.
        await nextTurn();
        signal.throwIfAborted();
      }
    });
    writer.close();
  } catch (error) {
    writer.abandon();
    throw error;
  }
  console.log(`${output}: ${formatCount(choices)} choices`);
}

async function* validationRoutes(
  inference: Inference,
  { sequences, dataDir = 'data' }: RecordOptions,
): AsyncGenerator<RouteTable> {
  const { openText, validationBatches } = await import('../../local/checkpoint-text.js');
  const { model, config, checkpoint } = inference;
  const dataset = await openText(inference, dataDir, preparationViewOn(process.stderr));
  try {
    const recording = {
      model,
      step: checkpoint.manifest.step,
      endsOfDomain: dataset.domains.map(({ validation }) => documentEnds(validation.ids, dataset.endOfText)),
      rowBytes: 4 * config.model.dModel,
    };
    for (const batch of validationBatches(inference, dataset, sequences))
      yield recordValidation(recording, batch);
  } finally {
    dataset.close();
  }
}

/** CSV of RFC 4180, with the names of the columns in the first line. */
class CsvWriter implements Pick<RoutesWriter, 'write' | 'abandon'> {
  readonly #fd: number;

  constructor(private readonly file: string) {
    this.#fd = openSync(`${file}.tmp`, 'w');
    writeSync(this.#fd, `${NAMES.join(',')}\r\n`);
  }

  write(table: RouteTable): void {
    const lines = table.step.map((_, row) => `${NAMES.map((name) => cell(table[name][row]!)).join(',')}\r\n`);
    writeSync(this.#fd, lines.join(''));
  }

  close(): void {
    closeSync(this.#fd);
    renameSync(`${this.file}.tmp`, this.file);
  }

  abandon(): void {
    closeSync(this.#fd);
    rmSync(`${this.file}.tmp`, { force: true });
  }
}

const NAMES = Object.keys(ROUTE_COLUMNS) as RouteColumn[];

/** Formats a cell, which needs no quoting: domains, outcomes and links have neither commas nor quotation marks. */
function cell(value: string | number | null): string {
  return value === null ? '' : String(value);
}
