import { existsSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { TOKENIZER_FILE } from '@locmoe/run-format';
import { shardFiles } from '../checkpoint/shards.js';
import type { RunConfig } from '../config/schema.js';
import type { ShardFile, SnapshotRef } from '../rpc/generated/messages.js';
import { digestFile } from '../sha256.js';

/** Constants of a node's snapshots during a generation. */
export interface SnapshotWorld {
  readonly runId: string;
  readonly generation: number;
  readonly node: number;
  readonly config: RunConfig;
  readonly datasetDir: string;
}

const { shared, optimizerShared, state } = shardFiles(0, 1);
const SHARED: readonly string[] = [shared, optimizerShared, state];

export function ranksOfNode({ cluster: { workersPerNode } }: RunConfig, node: number): number[] {
  return Array.from({ length: workersPerNode }, (_, local) => node * workersPerNode + local);
}

/** Names the files that a node's ranks write for a snapshot. */
export function filesOfNode(config: RunConfig, node: number): string[] {
  const { nodes, workersPerNode } = config.cluster;
  return ranksOfNode(config, node).flatMap((rank) => Object.values(shardFiles(rank, nodes * workersPerNode)));
}

/**
 * A snapshot of the run's state as one node holds it: a checkpoint with the files of the node's ranks and, in a
 * subfolder, a copy of its neighbour's experts.
 */
export class NodeSnapshot {
  readonly #own = new Map<number, readonly ShardFile[]>();
  #copied: readonly ShardFile[] = [];
  #isOwnComplete = false;
  metrics: Readonly<Record<string, number>> = {};

  constructor(
    readonly folder: string,
    readonly ref: SnapshotRef,
    private readonly world: SnapshotWorld,
  ) {}

  /** True once the files of this node's ranks are complete. */
  get isOwnComplete(): boolean {
    return this.#isOwnComplete;
  }

  /** @param node node whose ranks the snapshot is of; not compared by default */
  is({ generation, step }: SnapshotRef, node = this.world.node): boolean {
    return this.ref.generation === generation && this.ref.step === step && this.world.node === node;
  }

  /** Node of which this one keeps a copy, and the folder of that copy. */
  get neighbour(): { readonly node: number; readonly folder: string } {
    const node = (this.world.node + 1) % this.world.config.cluster.nodes;
    return { node, folder: path.join(this.folder, `of-node-${node}`) };
  }

  /** @returns whether all ranks of the node have written their files */
  add(rank: number, files: readonly ShardFile[]): boolean {
    this.#own.set(rank, files);
    return this.#own.size === this.world.config.cluster.workersPerNode;
  }

  /** Completes the checkpoint of this node's ranks, so that a worker can start from it. */
  async complete(files: readonly ShardFile[] = [...this.#own.values()].flat()): Promise<void> {
    // Imported late, because with it comes the schema with all routers, for which no agent is to wait as it starts.
    const { writeManifestOf } = await import('../checkpoint/checkpointer.js');
    const { runId, config, datasetDir } = this.world;
    const { nodes, workersPerNode } = config.cluster;
    this.#own.clear();
    this.#own.set(0, files);
    const tokenizer = path.join(datasetDir, TOKENIZER_FILE);
    const link = path.join(this.folder, TOKENIZER_FILE);
    if (!existsSync(link)) symlinkSync(tokenizer, link);
    const options = {
      runId,
      config,
      metrics: this.metrics,
      ...this.ref,
      world: { nodes, workersPerNode },
    };
    const written = [...withoutTwins(files), { file: TOKENIZER_FILE, ...digestFile(tokenizer), tensors: [] }];
    writeManifestOf(options, this.folder, written);
    this.#isOwnComplete = true;
  }

  /**
   * Checks that all files are still what this node's ranks wrote: other programs may clean /dev/shm.
   *
   * @throws TrainerError `BAD_CHECKPOINT` or `NO_RESOURCE`, naming the first file that is missing or damaged
   */
  async verify(): Promise<void> {
    // The manifest is written anew because a damaged one could describe other files.
    await this.complete();
    const { verifiedAside } = await import('../checkpoint/open-stored.js');
    await verifiedAside(this.folder);
  }

  /** Records that the copy of the neighbour's files is complete. */
  keep(files: readonly ShardFile[]): void {
    this.#copied = files;
  }

  /** Finds the files of a node's ranks, either this node's or its neighbour's; null if they are not here. */
  filesOf(
    node: number,
    withShared: boolean,
  ): readonly { readonly path: string; readonly about: ShardFile }[] | null {
    const { neighbour, folder, world } = this;
    const own = [...this.#own.values()]
      .flat()
      .map((about) => ({ path: path.join(folder, about.file), about }));
    const common = withShared ? own.filter(({ about }) => SHARED.includes(about.file)) : [];
    if (node === world.node) return [...common, ...own.filter(({ about }) => !SHARED.includes(about.file))];
    if (node !== neighbour.node || this.#copied.length === 0) return null;
    const copied = this.#copied.map((about) => ({ path: path.join(neighbour.folder, about.file), about }));
    return [...common, ...copied];
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Removes duplicates: ranks of one node that hold the same experts write the same tensors, and the first file counts. */
function withoutTwins(files: readonly ShardFile[]): ShardFile[] {
  const seen = new Set<string>();
  return files.map((file) => {
    const tensors = file.tensors.filter((name) => !seen.has(name));
    for (const name of tensors) seen.add(name);
    return { ...file, tensors };
  });
}
