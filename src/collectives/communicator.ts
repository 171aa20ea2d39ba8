import { type AllToAllOptions, startAllToAll } from './all-to-all.js';
import { startHierarchicalAllToAll } from './hierarchical-all-to-all.js';
import type { SpanRecorder } from './span-recorder.js';
import type { Topology } from './topology.js';
import type { PendingTransfer, Transport } from './transport.js';

/** The forms of the all-to-all; both give the same bytes. */
const FORMS = { hierarchical: startHierarchicalAllToAll, flat: startAllToAll } as const;

export type AllToAllForm = keyof typeof FORMS;

/** Precision of the rows that ranks exchange. */
export type WirePrecision = 'float32' | 'bfloat16';

/** A rank's transport, and the form of its all-to-alls. */
export class Communicator {
  /** May change between two steps, on all ranks alike. */
  form: AllToAllForm;

  constructor(
    readonly transport: Transport,
    form: AllToAllForm,
    readonly wirePrecision: WirePrecision = 'float32',
  ) {
    this.form = form;
  }

  get topology(): Topology {
    return this.transport.topology;
  }

  get spans(): SpanRecorder {
    return this.transport.spans;
  }

  /** Starts an all-to-all; `Transport.start` says what may run at the same time. */
  startAllToAll(options: AllToAllOptions): PendingTransfer {
    return FORMS[this.form](this.transport, options);
  }

  /** @throws TrainerError as `Transport.transfer` */
  allToAll(options: AllToAllOptions): void {
    this.startAllToAll(options).finish();
  }
}
