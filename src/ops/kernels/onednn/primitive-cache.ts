import { mapTuple } from '../../../map-tuple.js';
import {
  check,
  create,
  type Memory,
  type MemoryDesc,
  type OneDnn,
  type Primitive,
  type PrimitiveDesc,
  TYPE,
} from './library.js';
import type { Operand } from './operand.js';

/** The descriptor of each operand. */
export type DescsOf<Operands extends readonly Operand[]> = { readonly [I in keyof Operands]: MemoryDesc };

interface Compiled {
  readonly primitive: Primitive;
  readonly memories: readonly Memory[];
  /** `dnnl_exec_arg_t[]` */
  readonly arguments: Buffer;
}

const EXEC_ARG_BYTES = 16;
/** With more, compiled code would take too much memory. */
const MOST_PRIMITIVES = 512;

/** Caches compiled operations by key. */
export class PrimitiveCache {
  /** Primitives in order of first use. */
  readonly #primitives = new Map<string, Compiled>();

  /** @param most maximum number of primitives that are kept */
  constructor(
    private readonly library: OneDnn,
    private readonly most = MOST_PRIMITIVES,
  ) {}

  /**
   * Runs an operation, which is compiled at its first call.
   *
   * @param names `DNNL_ARG_*` of its operands
   * @param describe creates the descriptor of the operation from those of its operands
   * @throws TrainerError `INTERNAL` with the library's status
   */
  run<const Operands extends readonly Operand[]>(
    key: string,
    names: { readonly [I in keyof Operands]: number },
    operands: Operands,
    describe: (descs: DescsOf<Operands>) => PrimitiveDesc,
  ): void {
    const known = this.#primitives.get(key);
    const compiled = known ?? this.#compile(names, operands, describe);
    if (known === undefined) {
      this.#primitives.set(key, compiled);
      if (this.#primitives.size > this.most) this.#forgetOldest();
    }
    const { setHandle, execute } = this.library.calls;
    const { primitive, memories } = compiled;
    for (let i = 0; i < operands.length; i++) setHandle(memories[i]!, operands[i]!.values);
    check('execute', execute(primitive, this.library.stream, operands.length, compiled.arguments));
  }

  #compile<const Operands extends readonly Operand[]>(
    names: readonly number[],
    operands: Operands,
    describe: (descs: DescsOf<Operands>) => PrimitiveDesc,
  ): Compiled {
    const { calls, engine } = this.library;
    const descs = mapTuple(operands, (operand) => this.#descOf(operand));
    const desc = describe(descs);
    const primitive = create(calls, 'primitiveCreate', desc);
    const memories = descs.map((each) => create(calls, 'memoryCreate', each, engine, null));
    calls.primitiveDescDestroy(desc);
    for (const each of descs) calls.descDestroy(each);
    const args = Buffer.alloc(EXEC_ARG_BYTES * operands.length);
    names.forEach((name, i) => {
      args.writeInt32LE(name, EXEC_ARG_BYTES * i);
      args.writeBigUInt64LE(memories[i] as unknown as bigint, EXEC_ARG_BYTES * i + 8);
    });
    return { primitive, memories, arguments: args };
  }

  #descOf({ dims, strides, values }: Operand): MemoryDesc {
    const type = values instanceof Float32Array ? TYPE.float32 : TYPE.bfloat16;
    const { calls } = this.library;
    return create(calls, 'descCreate', dims.length, int64(dims), type, int64(strides ?? rowMajor(dims)));
  }

  #forgetOldest(): void {
    const [key, { primitive, memories }] = this.#primitives.entries().next().value!;
    this.#primitives.delete(key);
    for (const memory of memories) this.library.calls.memoryDestroy(memory);
    this.library.calls.primitiveDestroy(primitive);
  }
}

function rowMajor(dims: readonly number[]): number[] {
  const strides = dims.map(() => 1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * dims[i + 1]!;
  return strides;
}

function int64(values: readonly number[]): BigInt64Array {
  return BigInt64Array.from(values, BigInt);
}
