import { hostname } from 'node:os';
import {
  type FailureReport,
  Journal,
  type JournalEvent,
  type JournalMember,
  type JournalStart,
  type RecoveryAccount,
  type RecoveryBill,
  type RunFolder,
  readJournal,
} from '@locmoe/run-format';
import { failpoint } from '../failpoint.js';
import type { DiskTolerance } from '../run/disk-tolerance.js';
import type { RunListener } from '../run/run-listener.js';
import type { RunState } from '../run/run-state.js';
import type { RunIdentity } from './coordinator-options.js';
import type { Adoption } from './planning/adoption.js';

/** Returns the kind of state that a generation starts from. */
export function startsFrom({ snapshot, resumeFrom }: RunIdentity): JournalStart['kind'] {
  if (snapshot != null) return 'snapshot';
  return resumeFrom === null ? 'nothing' : 'checkpoint';
}

/** Writes the lifecycle of a run into its journal. */
export class RunJournal implements RunListener {
  /** Number of processes that have led the run, this one included. */
  readonly term: number;
  readonly #journal: Journal;
  #generation: number;

  /**
   * @param generation number of the first generation that this process leads
   * @param onSuperseded ends this process, as another one leads the run
   */
  constructor(
    private readonly folder: RunFolder,
    generation: number,
    private readonly disk: DiskTolerance,
    private readonly onSuperseded: (line: string) => never,
  ) {
    this.#generation = generation;
    this.term = readJournal(folder.journal).filter(({ type }) => type === 'lead').length + 1;
    this.#journal = new Journal(folder.journal, failpoint);
    this.#append({ type: 'lead', term: this.term, pid: process.pid, host: hostname() });
  }

  /**
   * Ends this process if another one has taken over the run. Where the file system has locks, the run's lock
   * prevents a takeover while this process runs.
   */
  assertLeads(): void {
    if (this.#journal.isOurs) return;
    const next = readJournal(this.folder.journal).findLast((entry) => entry.type === 'lead');
    const who =
      next === undefined || next.term <= this.term
        ? 'another process'
        : `process ${next.pid} on ${next.host}, which leads it in term ${next.term}`;
    this.onSuperseded(
      `run ${this.folder.runId} was taken over by ${who} while this coordinator (pid ${process.pid}, term ${this.term}) was suspended: it ends`,
    );
  }

  begin(identity: RunIdentity): void {
    const { generation, resumedStep, config } = identity;
    this.#generation = generation;
    const from = { kind: startsFrom(identity), step: resumedStep };
    const { nodes, workersPerNode } = config.cluster;
    this.#append({ type: 'generation', generation, from, nodes, workersPerNode });
  }

  /** Adopts a generation whose previous process may have crashed before it recorded the last checkpoint here. */
  adopt({ committed, isCommitRecorded }: Pick<Adoption, 'committed' | 'isCommitRecorded'>): void {
    // If the metrics lack the commit, too, it is announced later, and recorded then.
    if (committed === null || !isCommitRecorded) return;
    const { step } = committed;
    const isNoted = readJournal(this.folder.journal).some(
      (entry) => entry.type === 'committed' && entry.generation === this.#generation && entry.step === step,
    );
    if (!isNoted) this.checkpoint({ step });
  }

  members(members: readonly JournalMember[]): void {
    this.#append({ type: 'members', generation: this.#generation, members });
  }

  state({ kind }: RunState): void {
    if (kind === 'running') this.#append({ type: 'running', generation: this.#generation });
  }

  checkpoint({ step }: { readonly step: number }): void {
    this.#append({ type: 'committed', generation: this.#generation, step });
  }

  failure({ generation, code, message, rank, node, step }: FailureReport): void {
    this.#append({ type: 'failure', generation, code, message, rank, node, step });
  }

  recovered(account: RecoveryAccount): void {
    this.#append({ type: 'recovered', generation: this.#generation, ...account });
  }

  bill(bill: RecoveryBill): void {
    this.#append({ type: 'bill', generation: this.#generation, ...bill });
  }

  end(state: 'finished' | 'stopped' | 'failed', exitCode: number): void {
    this.#append({ type: 'end', state, exitCode });
  }

  close(): void {
    this.#journal.close();
  }

  #append(event: JournalEvent): void {
    this.assertLeads();
    this.disk.write(this.#journal.file, () => this.#journal.append(event));
  }
}
