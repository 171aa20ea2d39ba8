import type { Operation, Phase } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import type { RankProgress } from './control-block.js';
import type { MessageHeader, MessagePlace } from './message.js';
import { nodeOf, type Topology } from './topology.js';

/** A rank's place when a collective fails. */
export interface Place {
  readonly topology: Topology;
  readonly operation: Operation;
  readonly sequence: number;
  readonly step: number;
}

/** Returns a name such as `all-to-all dispatch (operation 812)`. */
function operationName(operation: Operation, sequence: number): string {
  return `${operation.kind} ${operation.purpose} (operation ${sequence})`;
}

function layerSuffix(layer: number | undefined): string {
  return layer === undefined ? '' : ` of layer ${layer}`;
}

/** Returns the place as an error's context. */
export function context(place: Place) {
  return {
    rank: place.topology.rank,
    node: place.topology.node,
    step: place.step,
    layer: place.operation.layer,
    operation: operationName(place.operation, place.sequence),
  };
}

function lastSeen(rank: number, { step, phase, operation }: RankProgress): string {
  const what =
    operation === null
      ? 'before its first operation'
      : `${operationName(operation, operation.sequence)}${layerSuffix(operation.layer)}`;
  return `rank ${rank} was last seen in step ${step} ${phase satisfies Phase}, ${what}`;
}

/**
 * Creates the error `COLLECTIVE_TIMEOUT`, naming every rank that did not arrive.
 *
 * @param progressOf returns what a rank of the same node is doing; null for a rank of another node
 */
export function timeoutError(
  place: Place,
  waitedMs: number,
  missing: readonly number[],
  progressOf: (rank: number) => RankProgress | null,
): TrainerError {
  const names = missing.map((rank) => `rank ${rank} (node ${nodeOf(place.topology, rank)})`).join(', ');
  const seen = missing.flatMap((rank) => {
    const progress = progressOf(rank);
    return progress === null ? [] : [lastSeen(rank, progress)];
  });
  const message = [`waited ${(waitedMs / 1000).toFixed(1)} s for ${names}`, ...seen].join('; ');
  return new TrainerError('COLLECTIVE_TIMEOUT', message, context(place));
}

/** @throws TrainerError `COLLECTIVE_MISMATCH` if a peer's message does not belong to the transfer */
export function checkHeader(place: Place, peer: number, header: MessageHeader, expectedBytes: number): void {
  const { operation, sequence, step } = place;
  const same =
    header.sequence === sequence &&
    header.kind === operation.kind &&
    header.layer === operation.layer &&
    header.totalBytes === expectedBytes &&
    header.step === step &&
    header.countsHash === (operation.countsHash ?? 0) &&
    header.purpose === operation.purpose;
  if (!same) throw mismatchError(place, peer, header, expectedBytes);
}

/** Creates the error for a peer's message of another operation, step or size than expected, or with other counts. */
function mismatchError(
  place: Place,
  peer: number,
  header: MessageHeader,
  expectedBytes: number,
): TrainerError {
  const { topology, operation, sequence, step } = place;
  const isSameStep = header.step === step;
  const describe = (what: Operation, at: MessagePlace) =>
    `${operationName(what, at.sequence)}${layerSuffix(what.layer)}${isSameStep ? '' : ` of step ${at.step}`}`;
  const mine = describe(operation, { sequence, step });
  const theirs = describe(header, header);
  const hashes = [operation.countsHash ?? 0, header.countsHash];
  const [mineBy, theirsBy] =
    hashes[0] === hashes[1] ? ['', ''] : hashes.map((hash) => ` by counts with hash ${hash.toString(16)}`);
  return new TrainerError(
    'COLLECTIVE_MISMATCH',
    `rank ${topology.rank} is in ${mine} and expects ${expectedBytes} bytes${mineBy}, ` +
      `but rank ${peer} (node ${nodeOf(topology, peer)}) sent ${theirs} with ${header.totalBytes} ` +
      `bytes${theirsBy}: ` +
      'all ranks must call the same collectives in the same step and order, with matching sizes and counts',
    context(place),
  );
}

/** Creates the error `ABORTED`: another rank's failure has stopped the run, or the node agent is gone. */
export function abortedError(place: Place, reason: string): TrainerError {
  return new TrainerError('ABORTED', reason, context(place));
}
