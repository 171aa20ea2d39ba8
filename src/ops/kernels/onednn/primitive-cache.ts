import { check, create, type Handle, type OneDnn, TYPE } from './library.js';
import type { Operand } from './operand.js';

interface Primitive {
  readonly handle: Handle;
  readonly memories: readonly Handle[];
  /** `dnnl_exec_arg_t[]` */
  readonly arguments: Buffer;
}

const EXEC_ARG_BYTES = 16;
/** More would hold too much compiled code. */
const MOST_PRIMITIVES = 512;

/** Compiled operations by what they are compiled for. */
export class PrimitiveCache {
  /** In the order of their first use. */
  readonly #primitives = new Map<string, Primitive>();

  /** @param most primitives that are kept */
  constructor(
    readonly library: OneDnn,
    readonly most = MOST_PRIMITIVES,
  ) {}

  /**
   * Runs an operation, compiled at its first call.
   *
   * @param names of its operands, `DNNL_ARG_*`
   * @param describe makes the descriptor of the operation from those of its operands
   * @throws TrainerError `INTERNAL` with the library's status
   */
  run(
    key: string,
    names: readonly number[],
    operands: readonly Operand[],
    describe: (descs: readonly Handle[]) => Handle,
  ): void {
    const known = this.#primitives.get(key);
    const primitive = known ?? this.#compile(names, operands, describe);
    if (known === undefined) {
      this.#primitives.set(key, primitive);
      if (this.#primitives.size > this.most) this.#forgetOldest();
    }
    const { setHandle, execute } = this.library.calls;
    for (let i = 0; i < operands.length; i++) setHandle(primitive.memories[i], operands[i]!.values);
    check('execute', execute(primitive.handle, this.library.stream, operands.length, primitive.arguments));
  }

  #compile(
    names: readonly number[],
    operands: readonly Operand[],
    describe: (descs: readonly Handle[]) => Handle,
  ): Primitive {
    const { calls, engine } = this.library;
    const descs = operands.map((operand) => this.#descOf(operand));
    const desc = describe(descs);
    const handle = this.#create('primitiveCreate', desc);
    const memories = descs.map((each) => this.#create('memoryCreate', each, engine, null));
    calls.primitiveDescDestroy(desc);
    for (const each of descs) calls.descDestroy(each);
    const args = Buffer.alloc(EXEC_ARG_BYTES * operands.length);
    names.forEach((name, i) => {
      args.writeInt32LE(name, EXEC_ARG_BYTES * i);
      args.writeBigUInt64LE(memories[i] as bigint, EXEC_ARG_BYTES * i + 8);
    });
    return { handle, memories, arguments: args };
  }

  #descOf({ dims, strides, values }: Operand): Handle {
    const type = values instanceof Float32Array ? TYPE.float32 : TYPE.bfloat16;
    return this.#create('descCreate', dims.length, int64(dims), type, int64(strides ?? rowMajor(dims)));
  }

  #create(name: Parameters<typeof create>[1], ...args: readonly unknown[]): Handle {
    return create(this.library.calls, name, ...args);
  }

  #forgetOldest(): void {
    const [key, { handle, memories }] = this.#primitives.entries().next().value!;
    this.#primitives.delete(key);
    for (const memory of memories) this.library.calls.memoryDestroy(memory);
    this.library.calls.primitiveDestroy(handle);
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
