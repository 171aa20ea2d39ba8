import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import {
  emptyRouteTable,
  parseRoutesFileName,
  RoutesWriter,
  type RouteTable,
  routesFileName,
} from '@locmoe/run-format/routes-file';
import type { Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import { wirePrecisionOf } from '../config/wire-precision.js';
import type { Batch } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { documentEnds } from '../data/document-ends.js';
import type { SequencePlace } from '../data/loader.js';
import type { Logger } from '../logger.js';
import type { RoutingInspector } from '../model/moe-layer.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { expertsOfDomain } from '../routing/index.js';
import { addRoutes, type RouteSequence } from '../routing/recorded-routes.js';

export interface RouteRecorderOptions {
  readonly recording: NonNullable<RunConfig['train']['recordRoutes']>;
  readonly config: RunConfig;
  readonly topology: Topology;
  readonly dataset: Dataset;
  /** Folder of the files. */
  readonly folder: string;
  readonly logger: Logger;
}

/** A micro-batch of a step, and where its sequences stand in the training text. */
export interface RecordedBatch {
  readonly batch: Batch;
  readonly places: readonly SequencePlace[];
}

/**
 * Records the routes of one rank (train.recordRoutes), a file for each step. A step that is done again after a restart
 * replaces its file.
 */
export class RouteRecorder {
  readonly #options: RouteRecorderOptions;
  readonly #mostBytes: number;
  /** Offsets at which the documents of each domain end. */
  readonly #endsOfDomain: ReadonlyMap<string, Float64Array>;
  readonly #expertsOfDomain: readonly Int32Array[];
  #bytes: number;
  #table: RouteTable = emptyRouteTable();

  /** @param step last step that is done: files of later ones are removed */
  constructor(options: RouteRecorderOptions, step: number) {
    const { recording, config, topology, dataset, folder } = options;
    this.#options = options;
    this.#mostBytes = (1e6 * recording.maxMB) / topology.worldSize;
    this.#endsOfDomain = new Map(
      dataset.domains.map(({ name, train }) => [name, documentEnds(train.ids, dataset.endOfText)]),
    );
    this.#expertsOfDomain = expertsOfDomain(config.data.domains.length, config.moe);
    mkdirSync(folder, { recursive: true });
    const files = readdirSync(folder).map((name) => ({ name, of: parseRoutesFileName(name) }));
    if (topology.rank === 0)
      for (const { name, of } of files)
        if (of !== null && of.step > step) rmSync(path.join(folder, name), { force: true });
    this.#bytes = files
      .filter(({ of }) => of !== null && of.step <= step && of.rank === topology.rank)
      .reduce((sum, { name }) => sum + statSync(path.join(folder, name)).size, 0);
  }

  isDue(step: number): boolean {
    const { every, from, to } = this.#options.recording;
    const isIncluded = step % every === 0 && step >= from && step <= (to ?? Number.POSITIVE_INFINITY);
    return isIncluded && this.#bytes < this.#mostBytes;
  }

  /** Returns what records the forward pass over one micro-batch of a step. */
  inspectorOf(step: number, microBatch: number, recorded: RecordedBatch): RoutingInspector {
    const { config, topology } = this.#options;
    const { tokenIds, packed, seqLen } = recorded.batch;
    const sequences = this.#sequencesOf(step, microBatch, recorded);
    const rowBytes = config.model.dModel * (wirePrecisionOf(config) === 'float32' ? 4 : 2);
    return (layer, _, decision) =>
      addRoutes(
        this.#table,
        {
          step,
          layer,
          topology,
          sequences,
          seqLen,
          tokenIdsT: tokenIds,
          positionsT: packed?.positions,
          rowBytes,
        },
        decision,
      );
  }

  /** Sequences are drawn by their index in the global batch, so that all layouts record the same ones. */
  #sequencesOf(step: number, microBatch: number, { batch, places }: RecordedBatch): RouteSequence[] {
    const { config, recording } = this.#options;
    const draw = new CounterRandom(config.seed, `routes.${step}`);
    const first = (microBatch * config.train.globalBatch) / config.train.microBatches;
    const rows = [...new Set(places.map(({ sequence }) => sequence))];
    return [...rows.entries()].flatMap(([row, sequence]) => {
      if (draw.uniform(first + sequence) >= recording.share) return [];
      const ranges = places.filter((place) => place.sequence === sequence);
      const { domain } = ranges[0]!;
      return {
        row,
        sequence: first + sequence,
        domain,
        openExperts: this.#expertsOfDomain[batch.domains[row]!]!,
        length: batch.seqLen,
        documents: this.#documentsOf(batch, row, ranges),
      };
    });
  }

  /** Index of the document of each position of a sequence; padding of packed samples belongs to the last one. */
  #documentsOf({ seqLen, packed }: Batch, row: number, ranges: readonly SequencePlace[]): Int32Array {
    const ends = this.#endsOfDomain.get(ranges[0]!.domain)!;
    let range = 0;
    return Int32Array.from({ length: seqLen }, (_, s) => {
      const position = packed?.positions[row * seqLen + s] ?? s;
      if (s > 0 && position === 0) range = Math.min(range + 1, ranges.length - 1);
      return indexAbove(ends, ranges[range]!.begin + position);
    });
  }

  /** Writes what was recorded of a step. */
  write(step: number): void {
    const { folder, topology, recording, logger } = this.#options;
    const writer = new RoutesWriter(path.join(folder, routesFileName(step, topology.rank)));
    writer.write(this.#table);
    this.#bytes += writer.close();
    this.#table = emptyRouteTable();
    if (this.#bytes >= this.#mostBytes)
      logger.warn(`no more routes are recorded: they fill train.recordRoutes.maxMB, ${recording.maxMB} MB`);
  }
}

/** Number of values that are not above `value`, in an ascending list. */
function indexAbove(rising: Float64Array, value: number): number {
  let low = 0;
  let high = rising.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
