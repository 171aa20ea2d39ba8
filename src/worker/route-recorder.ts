import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import { emptyRouteTable, type RouteTable } from '@locmoe/run-format/routes-file';
import type { SentRows } from '@locmoe/run-format/row-traffic';
import type { Topology } from '../collectives/topology.js';
import type { RunConfig } from '../config/schema.js';
import { rowBytesOf, wireBytesOf } from '../config/wire-precision.js';
import type { Batch } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { documentEnds, documentsOf } from '../data/document-ends.js';
import type { SequencePlace } from '../data/loader.js';
import type { Logger } from '../logger.js';
import type { RoutingInspector } from '../model/moe-layer.js';
import { CounterRandom } from '../parameters/counter-random.js';
import { addRoutes, type RouteSequence } from '../routing/choices/route-rows.js';
import { expertsOfDomain } from '../routing/index.js';
import type { WorkerAssignment } from './messages.js';
import { RouteFiles } from './route-files.js';

interface RouteRecorderOptions {
  readonly recording: NonNullable<RunConfig['train']['recordRoutes']>;
  readonly config: RunConfig;
  readonly topology: Topology;
  readonly dataset: Dataset;
  /** Folder of the recorded files. */
  readonly folder: string;
  readonly logger: Logger;
}

/**
 * Records the routes of one rank (train.recordRoutes), one file per step. A step that is repeated after a
 * restart replaces its file.
 */
class RouteRecorder {
  readonly #options: RouteRecorderOptions;
  readonly #mostBytes: number;
  /** Offsets at which the documents of each domain end. */
  readonly #endsOfDomain: ReadonlyMap<string, Float64Array>;
  readonly #expertsOfDomain: readonly Int32Array[];
  readonly #files: RouteFiles;
  /** The step that is being recorded; null for none. */
  #step: number | null = null;
  #table: RouteTable = emptyRouteTable();
  /** Number of weights that are sent with a token's choices; 0 for a router without weights. */
  #numWeights = 0;

  /** @param step last completed step: files of later steps are removed */
  constructor(options: RouteRecorderOptions, step: number) {
    const { recording, config, topology, dataset, folder, logger } = options;
    this.#options = options;
    this.#mostBytes = (1e6 * recording.maxMB) / topology.worldSize;
    this.#endsOfDomain = new Map(
      dataset.domains.map(({ name, train }) => [name, documentEnds(train.ids, dataset.endOfText)]),
    );
    this.#expertsOfDomain = expertsOfDomain(config.data.domains.length, config.moe);
    this.#files = new RouteFiles(folder, { config, topology, logger }, step);
  }

  /**
   * Begins a step.
   *
   * @param places where each micro-batch's sequences are in the training text
   * @returns function from a micro-batch to the inspector of its forward pass; undefined if the step is not recorded
   */
  begin(
    step: number,
    batches: readonly Batch[],
    places: readonly (readonly SequencePlace[])[],
  ): ((microBatch: number) => RoutingInspector) | undefined {
    const { every, from, to } = this.#options.recording;
    const isDue = step % every === 0 && step >= from && step <= (to ?? Number.POSITIVE_INFINITY);
    this.#step = isDue && this.#files.bytes < this.#mostBytes ? step : null;
    if (this.#step === null) return undefined;
    const { config, topology } = this.#options;
    const rowBytes = rowBytesOf(config);
    return (microBatch) => {
      const batch = batches[microBatch]!;
      const recorded = {
        step,
        moe: config.moe,
        topology,
        sequences: this.#sequencesOf(step, microBatch, batch, places[microBatch]!),
        seqLen: batch.seqLen,
        tokenIdsT: batch.tokenIds,
        positionsT: batch.packed?.positions,
        rowBytes,
      };
      return (layer, _, decision) => {
        this.#numWeights = decision.weightsTK === null ? 0 : decision.numChoices;
        addRoutes(this.#table, { ...recorded, layer }, decision);
      };
    };
  }

  /** Draws sequences by their index in the global batch, so that all layouts record the same sequences. */
  #sequencesOf(
    step: number,
    microBatch: number,
    batch: Batch,
    places: readonly SequencePlace[],
  ): RouteSequence[] {
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
        documents: documentsOf(this.#endsOfDomain.get(domain)!, batch, row, ranges),
      };
    });
  }

  /**
   * Ends a step: writes its recorded routes.
   *
   * @param sent rows that this rank sent in the step
   */
  end(sent: SentRows['sent']): void {
    if (this.#step === null) return;
    const { recording, logger } = this.#options;
    const table = this.#table;
    this.#table = emptyRouteTable();
    const isWritten = this.#files.write(this.#step, table, this.#withExchange(sent));
    if (isWritten && this.#files.bytes >= this.#mostBytes)
      logger.warn(
        `the recording of routes ends: train.recordRoutes.maxMB, ${recording.maxMB} MB, is reached`,
      );
  }

  #withExchange(sent: SentRows['sent']): SentRows {
    const { config, topology, recording } = this.#options;
    const { numNodes, workersPerNode } = topology;
    const rowBytes = rowBytesOf(config);
    const isDeduplicated = config.cluster.deduplicate && numNodes > 1;
    const crossingBytes = isDeduplicated ? rowBytes + this.#numWeights * wireBytesOf(config) : null;
    return { numNodes, workersPerNode, rowBytes, crossingBytes, share: recording.share, sent };
  }
}

/**
 * @param step last completed step
 * @returns null without train.recordRoutes
 */
export function openRecorder(
  { config, topology, checkpointDir }: WorkerAssignment,
  dataset: Dataset,
  step: number,
  logger: Logger,
): RouteRecorder | null {
  const recording = config.train.recordRoutes;
  const folder = new RunFolder(path.dirname(checkpointDir)).routes;
  return recording && new RouteRecorder({ recording, config, topology, dataset, folder, logger }, step);
}
