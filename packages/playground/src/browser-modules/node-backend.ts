import type { NodeBackend } from 'locmoe/internal/ops/node-backend';
import { tf } from './tensorflow.js';

interface Entry {
  values: ArrayBufferView | null;
  id: number;
}

/** The part of TensorFlow's backend in JavaScript that is used here. */
interface CpuBackend extends NodeBackend {
  tensorMap: { get(dataId: object): Entry };
  readonly data: { get(dataId: object): Entry };
}

/** Methods that need an entry, but not its values. */
const COUNTING = ['disposeData', 'incRef', 'decRef', 'refCount'] as const;

let adapted: CpuBackend | undefined;

/**
 * Returns TensorFlow's backend in JavaScript with what `DeviceMemory` uses of that in Node. Its kernels look the values of their
 * inputs up in `data`, which is announced here as Node's kernels announce it: by `getInputTensorIds`.
 */
export function nodeBackend(): NodeBackend {
  adapted ??= adapt(tf.backend() as unknown as CpuBackend);
  return adapted;
}

function adapt(backend: CpuBackend): CpuBackend {
  const { data } = backend;
  const get = data.get.bind(data);
  let isCounting = false;
  backend.tensorMap = { get };
  backend.getInputTensorIds = () => [];
  data.get = (dataId) => {
    if (!isCounting) backend.getInputTensorIds([{ dataId } as unknown as tf.Tensor]);
    return get(dataId);
  };
  const methods = backend as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of COUNTING) {
    const method = methods[name]!;
    methods[name] = (...args) => {
      isCounting = true;
      try {
        return method.apply(backend, args);
      } finally {
        isCounting = false;
      }
    };
  }
  return backend;
}
