import { layoutOf } from './cases.js';
import { prepareGloo } from './gloo.js';
import type { ExchangeRow, System } from './measurements.js';
import { prepareOpenMpi } from './openmpi.js';
import { type Peer, type PeerOptions, peerRow } from './peer.js';
import type { LayoutName, PeerName } from './scope.js';

const PREPARE: Readonly<Record<PeerName, (workDir: string, signal: AbortSignal) => Promise<Peer>>> = {
  openmpi: prepareOpenMpi,
  gloo: prepareGloo,
};

/** A peer is measured once per number of ranks. */
export function numbersOfRanks(system: System, layouts: readonly LayoutName[]): number[] {
  const compared = layouts.map(layoutOf).filter(({ numNodes }) => {
    if (system === 'OpenMPI, shared memory') return numNodes === 1;
    return system !== 'OpenMPI, TCP' || numNodes > 1;
  });
  return [...new Set(compared.map(({ numNodes, workersPerNode }) => numNodes * workersPerNode))];
}

export interface PeersOptions extends PeerOptions {
  readonly peers: readonly PeerName[];
  readonly layouts: readonly LayoutName[];
  readonly log: (line: string) => void;
  /** Receives rows as they arrive. */
  readonly found: (row: ExchangeRow) => void;
}

/**
 * Times installed peers. A missing or failed peer costs only its own figures.
 *
 * @returns a line per peer: its version, or why it has no figures
 */
export async function measurePeers(options: PeersOptions): Promise<string[]> {
  const notes: string[] = [];
  for (const name of options.peers) {
    const note = await measurePeer(name, options);
    options.log(note);
    notes.push(note);
  }
  return notes;
}

async function measurePeer(name: PeerName, options: PeersOptions): Promise<string> {
  const { workDir, signal, layouts, log, found } = options;
  try {
    const peer = await PREPARE[name](workDir, signal);
    for (const system of peer.systems)
      for (const numRanks of numbersOfRanks(system, layouts)) {
        log(`${system}, ${numRanks} ranks`);
        for (const result of await peer.measure(system, numRanks, options))
          found(peerRow(system, numRanks, result));
      }
    return `${name}: ${peer.version}`;
  } catch (error) {
    signal.throwIfAborted();
    return `${name}: not measured (packages/bench/peers/install.sh installs it): ${(error as Error).message}`;
  }
}
