import koffi from 'koffi';
import { TrainerError } from '../../../errors.js';

// oneDNN's C API (https://uxlfoundation.github.io/oneDNN, version 3), as much of it as is used here.

/** An object of the library. */
export type Handle = bigint | null;

/** `dnnl_data_type_t` */
export const TYPE = { bfloat16: 2, float32: 3 } as const;
/** `dnnl_prop_kind_t` */
export const TRAINING = 64;
export const BACKWARD = 128;
/** `dnnl_alg_kind_t` */
export const ALGORITHM = {
  linear: 0x26,
  logistic: 0x29,
  geluTanh: 0x2b,
  add: 0x1fff0,
  multiply: 0x1fff1,
  softmax: 0x30000,
} as const;
/** `DNNL_ARG_*` */
export const ARGUMENT = {
  source: 1,
  source1: 2,
  result: 17,
  weights: 33,
  mean: 49,
  variance: 50,
  scale: 51,
  shift: 52,
  dSource: 129,
  dResult: 145,
  dScale: 255,
  dShift: 256,
} as const;
/** `dnnl_normalization_flags_t`: with gain and bias. */
export const SCALE_AND_SHIFT = 6;
/** `dnnl_query_impl_info_str` */
export const IMPLEMENTATION = 8;
/** `DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1` */
export const postOpSource = (index: number) => (32768 * (index + 1)) | ARGUMENT.source1;

const CPU = 1;
const DEFAULT_STREAM = 1;
const OLDEST_VERSION = 3;
const RTLD_NOW = 2;

const SIGNATURES = {
  engineCreate: 'int dnnl_engine_create(_Out_ void **engine, int kind, size_t index)',
  streamCreate: 'int dnnl_stream_create(_Out_ void **stream, void *engine, unsigned int flags)',
  descCreate:
    'int dnnl_memory_desc_create_with_strides(_Out_ void **desc, int ndims, const int64_t *dims, int type, const int64_t *strides)',
  descDestroy: 'int dnnl_memory_desc_destroy(void *desc)',
  memoryCreate: 'int dnnl_memory_create(_Out_ void **memory, void *desc, void *engine, void *handle)',
  memoryDestroy: 'int dnnl_memory_destroy(void *memory)',
  setHandle: 'int dnnl_memory_set_data_handle(void *memory, void *handle)',
  attrCreate: 'int dnnl_primitive_attr_create(_Out_ void **attr)',
  attrDestroy: 'int dnnl_primitive_attr_destroy(void *attr)',
  attrSetPostOps: 'int dnnl_primitive_attr_set_post_ops(void *attr, void *ops)',
  postOpsCreate: 'int dnnl_post_ops_create(_Out_ void **ops)',
  postOpsDestroy: 'int dnnl_post_ops_destroy(void *ops)',
  appendSum: 'int dnnl_post_ops_append_sum(void *ops, float scale, int32_t zero_point, int type)',
  appendEltwise: 'int dnnl_post_ops_append_eltwise(void *ops, int algorithm, float alpha, float beta)',
  appendBinary: 'int dnnl_post_ops_append_binary(void *ops, int algorithm, void *source1)',
  primitiveCreate: 'int dnnl_primitive_create(_Out_ void **primitive, void *desc)',
  implementation:
    'int dnnl_primitive_desc_query(const void *desc, int what, int index, _Out_ const char **result)',
  nextImplementation: 'int dnnl_primitive_desc_next_impl(void *desc)',
  primitiveDescDestroy: 'int dnnl_primitive_desc_destroy(void *desc)',
  primitiveDestroy: 'int dnnl_primitive_destroy(void *primitive)',
  execute: 'int dnnl_primitive_execute(void *primitive, void *stream, int count, void *arguments)',
  matmul:
    'int dnnl_matmul_primitive_desc_create(_Out_ void **desc, void *engine, void *source, void *weights, void *bias, void *result, void *attr)',
  reorder:
    'int dnnl_reorder_primitive_desc_create(_Out_ void **desc, void *source, void *source_engine, void *result, void *result_engine, void *attr)',
  binary:
    'int dnnl_binary_primitive_desc_create(_Out_ void **desc, void *engine, int algorithm, void *source, void *source1, void *result, void *attr)',
  eltwise:
    'int dnnl_eltwise_forward_primitive_desc_create(_Out_ void **desc, void *engine, int kind, int algorithm, void *source, void *result, float alpha, float beta, void *attr)',
  eltwiseBackward:
    'int dnnl_eltwise_backward_primitive_desc_create(_Out_ void **desc, void *engine, int algorithm, void *d_source, void *d_result, void *data, float alpha, float beta, void *hint, void *attr)',
  softmax:
    'int dnnl_softmax_forward_primitive_desc_create(_Out_ void **desc, void *engine, int kind, int algorithm, void *source, void *result, int axis, void *attr)',
  layerNorm:
    'int dnnl_layer_normalization_forward_primitive_desc_create(_Out_ void **desc, void *engine, int kind, void *source, void *result, void *statistics, float epsilon, unsigned int flags, void *attr)',
  layerNormBackward:
    'int dnnl_layer_normalization_backward_primitive_desc_create(_Out_ void **desc, void *engine, int kind, void *d_source, void *d_result, void *source, void *statistics, float epsilon, unsigned int flags, void *hint, void *attr)',
} as const;

type Call = (...args: readonly unknown[]) => number;
type Calls = Readonly<Record<keyof typeof SIGNATURES, Call>>;

/** The library with an engine of the processor and a stream, on which calls return when their work is done. */
export interface OneDnn {
  readonly version: string;
  readonly calls: Calls;
  readonly engine: Handle;
  readonly stream: Handle;
  /** Whether it multiplies bfloat16 on this processor, be it slowly. */
  readonly hasBfloat16: boolean;
}

/**
 * @param path of libdnnl.so
 * @param threadsPath of libgomp.so, where the system may have none
 * @throws TrainerError `BAD_INPUT` if it cannot be loaded or is older than 3.0: another try would not help
 */
export function loadOneDnn(path: string, threadsPath: string | null): OneDnn {
  // It reads this when it loads. Threads would wait for work of a few rows by turning over.
  process.env.OMP_NUM_THREADS ??= '1';
  try {
    if (threadsPath !== null) koffi.load(threadsPath);
    const library = koffi.load(path);
    const describe = library.func('const int *dnnl_version()') as () => unknown;
    const [major, minor, patch] = koffi.decode(describe(), 'int', 3) as number[];
    const version = `${major}.${minor}.${patch}`;
    if (major! < OLDEST_VERSION) throw new Error(`version ${version} is older than ${OLDEST_VERSION}.0`);
    const calls = Object.fromEntries(
      Object.entries(SIGNATURES).map(([name, signature]) => [name, library.func(signature)]),
    ) as unknown as Calls;
    keepUntilTheEnd(path);
    const engine = create(calls, 'engineCreate', CPU, 0);
    return {
      version,
      calls,
      engine,
      stream: create(calls, 'streamCreate', engine, DEFAULT_STREAM),
      hasBfloat16: multiplies(calls, engine, TYPE.bfloat16),
    };
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `cannot use oneDNN of ${path}: ${(error as Error).message}; LOCMOE_KERNELS=tensorflow goes without`,
      {},
      { cause: error },
    );
  }
}

function multiplies(calls: Calls, engine: Handle, type: number): boolean {
  const matrix = create(calls, 'descCreate', 2, BigInt64Array.of(2n, 2n), type, BigInt64Array.of(2n, 1n));
  const product: [Handle] = [null];
  const isThere = calls.matmul(product, engine, matrix, matrix, null, matrix, null) === 0;
  if (isThere) calls.primitiveDescDestroy(product[0]);
  calls.descDestroy(matrix);
  return isThere;
}

/**
 * Koffi closes a library at the end of the process, while threads of it may still turn over for work: without its code that
 * is a segmentation fault. With one more handle, which nobody closes, the library stays, and that of the threads with it.
 */
function keepUntilTheEnd(path: string): void {
  koffi.load(null).func('void *dlopen(const char *file, int flags)')(path, RTLD_NOW);
}

/**
 * Calls a function that creates an object.
 *
 * @throws TrainerError `INTERNAL` with the library's status
 */
export function create(calls: Calls, name: keyof typeof SIGNATURES, ...args: readonly unknown[]): Handle {
  const out: [Handle] = [null];
  check(name, calls[name](out, ...args));
  return out[0];
}

/** @throws TrainerError `INTERNAL` if `status` is not that of success */
export function check(name: string, status: number): void {
  if (status !== 0) throw new TrainerError('INTERNAL', `oneDNN: ${name} failed with status ${status}`);
}
