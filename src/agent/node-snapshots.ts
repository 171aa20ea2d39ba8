import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { localSnapshotFolders, snapshotFolder, takeOverSnapshots } from '../collectives/segment-files.js';
import { timeoutsOf } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import type { FetchRequest, Peer, SnapshotRef } from '../rpc/generated/messages.js';
import type { RpcServer } from '../rpc/server.js';
import type { SnapshotReport } from '../worker/messages.js';
import { fetchState, gatherSnapshot, type SnapshotSource } from './gather-snapshot.js';
import { filesOfLocal, readLocal } from './local-snapshot.js';
import { NodeSnapshot, type SnapshotWorld } from './node-snapshot.js';
import { type SentFiles, serveSnapshots } from './snapshot-fetch.js';

/** Interval between two checks for a snapshot that another node asks for. */
const POLL_MS = 20;

export interface SnapshotListener {
  /**
   * Called when this node holds a snapshot of its own ranks and of its neighbour's, `ms` after its own ranks had
   * written their files.
   */
  kept(snapshot: SnapshotRef, ms: number): void;
  /** Called when a snapshot is damaged, or no further one follows in this generation. */
  warn(line: string): void;
}

interface Generation extends SnapshotWorld {
  readonly listener: SnapshotListener;
  readonly over: AbortController;
}

/**
 * In-memory snapshots of this node over all generations of a run: those of its own ranks, and a copy of the next
 * node's, so that a dead node is restored from its neighbour.
 */
export class NodeSnapshots {
  #directory: string | null = null;
  #runId: string | null = null;
  #held: NodeSnapshot[] = [];
  #now: Generation | null = null;
  #peers: readonly Peer[] = [];

  /**
   * @param heir pid of the process on this machine that keeps the snapshots of an agent that dies, for the one in its place;
   *   null for none
   */
  constructor(
    private readonly rpc: RpcServer,
    readonly heir: number | null = null,
  ) {
    serveSnapshots(rpc.server, (request) => this.#find(request));
  }

  /**
   * Begins a generation.
   *
   * @returns the folder in which ranks write snapshots
   */
  begin(world: SnapshotWorld, listener: SnapshotListener): string {
    // A node that looked for its run may have joined another one.
    if (this.#runId !== world.runId) this.clear();
    this.#runId = world.runId;
    this.#now = { ...world, listener, over: new AbortController() };
    if (this.#directory === null) {
      this.#directory = snapshotFolder(world.runId, world.node);
      if (this.heir !== null) this.#takeOver(world, this.heir);
    }
    return this.#directory;
  }

  /** Takes the local snapshots over that the node's last agent has left; of others only that agent knew whether they are whole. */
  #takeOver({ runId, node }: SnapshotWorld, heir: number): void {
    takeOverSnapshots(runId, node, heir);
    const directory = this.#directory!;
    const left = existsSync(directory) ? readdirSync(directory) : [];
    for (const folder of left.map((name) => path.join(directory, name)))
      if (!this.#localFolders.includes(folder)) rmSync(folder, { recursive: true });
  }

  /** Sets the nodes of the run, once all are known. */
  set peers(peers: readonly Peer[]) {
    this.#peers = peers;
  }

  add({ rank, step, files, metrics }: SnapshotReport): void {
    const now = this.#now;
    if (now === null) return;
    const ref = { generation: now.generation, step };
    let snapshot = this.#held.find((each) => each.is(ref));
    if (snapshot === undefined) {
      // All nodes hold the newest snapshot, or the ranks would not have taken another.
      const newest = this.#held.at(-1);
      this.#keepOnly((each) => each === newest);
      snapshot = this.#place(ref, now);
      this.#held.push(snapshot);
    }
    snapshot.metrics = metrics;
    if (!snapshot.add(rank, files)) return;
    this.#complete(snapshot, ref, now).catch((error: unknown) => {
      if (now.over.signal.aborted) return;
      now.listener.warn(`no further snapshots of the run's state in memory: ${asTrainerError(error).line}`);
    });
  }

  /**
   * Restores a snapshot as a checkpoint folder with the files of this node's ranks; lost or damaged files are fetched from
   * the node that keeps a copy. Other snapshots are discarded, as later ones are no longer on the run's history; where a
   * local one is restored, earlier ones with a copy stay, from which a lost node can be restored.
   *
   * @param chosen null for none
   * @throws TrainerError `BAD_CHECKPOINT` if neither node has files that load
   */
  async restore(chosen: SnapshotRef | null): Promise<string | null> {
    const now = this.#now;
    const held = chosen && this.#held.find((each) => each.is(chosen, now?.node));
    const local = chosen && now && !held ? this.#localOf(chosen, now) : null;
    for (const folder of this.#localFolders)
      if (folder !== local?.folder) rmSync(folder, { recursive: true, force: true });
    this.#keepOnly((each) => (local === null ? each === held : each.ref.step <= local.ref.step));
    if (chosen === null || now === null) return null;
    const { node, config, listener } = now;
    const lost = (reason: string) =>
      new TrainerError('BAD_CHECKPOINT', `the state of node ${node} in memory is lost: ${reason}`);
    const messageOf = (error: unknown) => asTrainerError(error).message;
    if (local !== null) {
      const files = await filesOfLocal(local.folder, now).catch((error: unknown) => {
        throw lost(messageOf(error));
      });
      // A worker that has outlived its agent takes the mark away before it writes.
      if (this.#localOf(chosen, now) === null) throw lost('its files have changed');
      await local.complete(files);
      return local.folder;
    }
    let damage: string | null = null;
    if (held?.isOwnComplete)
      try {
        await held.verify();
        return held.folder;
      } catch (error) {
        damage = messageOf(error);
      }
    const holder = (node - 1 + config.cluster.nodes) % config.cluster.nodes;
    const snapshot = held ?? this.#place(chosen, now);
    try {
      if (holder === node) throw new TrainerError('BAD_CHECKPOINT', 'no other node has a copy');
      const { folder } = snapshot;
      const from = { address: this.#addressOf(holder), node, folder, withShared: true };
      const { files, metrics } = await this.#fetch(now, chosen, from);
      snapshot.metrics = metrics;
      await snapshot.complete(files);
    } catch (error) {
      throw lost([damage, messageOf(error)].filter((each) => each !== null).join('; '));
    }
    if (damage !== null)
      listener.warn(`${damage}: the copy of this snapshot of step ${chosen.step} on node ${holder} is taken`);
    this.#held = [snapshot];
    return snapshot.folder;
  }

  /**
   * Gathers a snapshot of another layout as a checkpoint folder with the files of all its ranks. What other nodes may still
   * fetch from this one stays until there is a snapshot of this generation.
   *
   * @param holders for each node of that layout the address of an agent that holds its state
   * @throws TrainerError `BAD_CHECKPOINT` if it cannot be gathered
   */
  async gather(chosen: SnapshotRef, holders: readonly string[]): Promise<string> {
    const now = this.#now!;
    for (const folder of this.#localFolders) rmSync(folder, { recursive: true, force: true });
    const { signal } = now.over;
    return gatherSnapshot(now, chosen, {
      holders,
      folder: this.#gathered,
      security: this.rpc.security,
      signal,
    });
  }

  /** Frees the memory of what was gathered, once the workers have loaded it. */
  dropGathered(): void {
    if (this.#directory !== null) rmSync(this.#gathered, { recursive: true, force: true });
  }

  get #gathered(): string {
    return path.join(this.#directory!, 'gathered');
  }

  /**
   * Ends the generation after its workers have ended, and discards unfinished snapshots.
   *
   * @returns the local snapshots, which this node's ranks have all written
   */
  end(): SnapshotRef[] {
    const now = this.#now;
    now?.over.abort();
    this.#now = null;
    this.#keepOnly((each) => each.isOwnComplete);
    this.dropGathered();
    return now === null ? [] : this.#localFolders.flatMap((folder) => readLocal(folder, now)?.ref ?? []);
  }

  /** Discards all snapshots at the end of the run. */
  clear(): void {
    this.end();
    this.#held = [];
    if (this.#directory !== null) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = null;
  }

  get #localFolders(): readonly string[] {
    return this.#directory === null ? [] : localSnapshotFolders(this.#directory);
  }

  /** Finds a local snapshot; null if this node does not hold it. */
  #localOf({ generation, step }: SnapshotRef, now: Generation): NodeSnapshot | null {
    for (const folder of this.#localFolders) {
      const found = readLocal(folder, now);
      if (found?.ref.generation !== generation || found.ref.step !== step) continue;
      const snapshot = new NodeSnapshot(folder, found.ref, now);
      snapshot.metrics = found.metrics;
      return snapshot;
    }
    return null;
  }

  #place(ref: SnapshotRef, now: Generation): NodeSnapshot {
    const folder = path.join(this.#directory!, `generation-${ref.generation}-step-${ref.step}`);
    return new NodeSnapshot(folder, ref, now);
  }

  async #complete(snapshot: NodeSnapshot, ref: SnapshotRef, now: Generation): Promise<void> {
    const began = performance.now();
    await snapshot.complete();
    if (now.config.cluster.nodes > 1) {
      const { node, folder } = snapshot.neighbour;
      const from = { address: this.#addressOf(node), node, folder, withShared: false };
      snapshot.keep((await this.#fetch(now, ref, from)).files);
    }
    now.listener.kept(ref, performance.now() - began);
  }

  #fetch(now: Generation, chosen: SnapshotRef, from: SnapshotSource): ReturnType<typeof fetchState> {
    return fetchState(now, chosen, from, { security: this.rpc.security, signal: now.over.signal });
  }

  #addressOf(node: number): string {
    const peer = this.#peers.find((each) => each.node === node);
    if (peer === undefined) throw new TrainerError('NODE_LOST', `there is no node ${node}`);
    return peer.address;
  }

  /** Finds the files that another node asks for; waits until they are there. */
  async #find(request: FetchRequest): Promise<SentFiles> {
    const { runId, generation, snapshotGeneration, step, node } = request;
    const now = this.#now;
    if (now?.runId !== runId || now.generation !== generation)
      throw new TrainerError('BAD_INPUT', `this node is not in generation ${generation} of run ${runId}`);
    const ref = { generation: snapshotGeneration, step };
    const deadline = performance.now() + timeoutsOf(now.config.cluster).saveMs;
    while (performance.now() < deadline && !now.over.signal.aborted) {
      const snapshot = this.#held.find((each) => each.is(ref));
      const files = snapshot?.isOwnComplete ? snapshot.filesOf(node, request.withShared) : null;
      if (files != null) return { files, metrics: snapshot!.metrics };
      // A copy that is still missing never comes, as it would have been made in the generation of the snapshot.
      if (snapshotGeneration !== now.generation) break;
      await sleep(POLL_MS);
    }
    throw new TrainerError('BAD_INPUT', `this node does not hold node ${node}'s state of step ${step}`);
  }

  #keepOnly(stays: (snapshot: NodeSnapshot) => boolean): void {
    for (const each of this.#held) if (!stays(each)) each.remove();
    this.#held = this.#held.filter(stays);
  }
}
