import { type AllToAllForm, type AllToAllOptions, startAllToAll } from './all-to-all.js';
import type { Topology } from './topology.js';
import type { PendingTransfer, SpanRecorder, Transport } from './transport.js';

/** Precision of the rows that ranks exchange. */
export type WirePrecision = 'float32' | 'bfloat16';

/** A rank's transport, and the form of its all-to-alls. */
export class Communicator {
  constructor(
    readonly transport: Transport,
    /** May change between two training steps, to the same value on all ranks. */
    public form: AllToAllForm,
    readonly wirePrecision: WirePrecision = 'float32',
  ) {}

  get topology(): Topology {
    return this.transport.topology;
  }

  get spans(): SpanRecorder {
    return this.transport.spans;
  }

  /** Starts an all-to-all; `Transport.start` says what may run at the same time. */
  startAllToAll(options: AllToAllOptions): PendingTransfer {
    return startAllToAll(this.transport, options, this.form);
  }

  /** @throws TrainerError as `Transport.transfer` */
  allToAll(options: AllToAllOptions): void {
    this.startAllToAll(options).finish();
  }
}
