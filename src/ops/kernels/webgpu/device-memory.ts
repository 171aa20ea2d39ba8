import { alias } from '../../autograd.js';
import { nodeBackend } from '../../node-backend.js';
import { tf } from '../../tensorflow.js';
import type { DeferredReads } from '../kernels.js';
import { type DeviceValues, READ_BYTES } from './commands.js';
import type { Device } from './device.js';

/** A tensor of TensorFlow's engine whose elements are on the device. */
export interface DeviceTensor {
  readonly tensor: tf.Tensor;
  readonly buffer: number;
}

/** Stands for the elements of a tensor until they are read. */
const NOT_READ = new Float32Array(0);

/**
 * Tensors on a device. They are read when the host or TensorFlow first needs their elements, and those of the host are copied to the
 * device when it first needs them, once: only the device changes the elements of a tensor, those of parameters (`hasChanged`).
 */
export class DeviceMemory {
  /** Buffers by the tensor's data id. */
  readonly #buffers = new Map<object, DeviceValues>();
  /** The next read for which the host waits reads these as well. */
  #deferred: { readonly tensor: tf.Tensor; readonly use: (values: Float32Array) => void }[] = [];

  constructor(readonly device: Device) {
    const backend = nodeBackend();
    const { disposeData, readSync, getInputTensorIds } = backend;
    backend.disposeData = (dataId, force) => {
      const isGone = disposeData.call(backend, dataId, force);
      const held = isGone ? this.#buffers.get(dataId) : undefined;
      if (held !== undefined) {
        this.#buffers.delete(dataId);
        device.free(held.buffer);
      }
      return isGone;
    };
    backend.readSync = (dataId) => {
      this.#read(dataId);
      return readSync.call(backend, dataId);
    };
    backend.getInputTensorIds = (tensors) => {
      for (const { dataId } of tensors) if (dataId !== undefined) this.#read(dataId);
      return getInputTensorIds.call(backend, tensors);
    };
  }

  #read(dataId: object): void {
    const held = this.#buffers.get(dataId);
    if (held === undefined) return;
    const data = nodeBackend().tensorMap.get(dataId);
    if (data.values === NOT_READ)
      // Not the shared array: TensorFlow's addon would refuse it.
      this.#readWithDeferred([held], (values) => (data.values = values.slice()));
  }

  /** Reads what is deferred along with `wanted`, for which `use` is called. */
  #readWithDeferred(wanted: readonly DeviceValues[], use: (values: Float32Array) => void): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    try {
      const uses = [...deferred.map((each) => each.use), ...wanted.map(() => use)];
      const held = [...deferred.map(({ tensor }) => this.#buffers.get(tensor.dataId)!), ...wanted];
      this.device.readAll(held, (values, i) => uses[i]!(values));
    } finally {
      for (const { tensor } of deferred) tensor.dispose();
    }
  }

  #readDeferred(): void {
    if (this.#deferred.length > 0) this.#readWithDeferred([], () => undefined);
  }

  deferredReads(): DeferredReads {
    return {
      add: (tensor, use) => {
        const isThere = nodeBackend().tensorMap.get(tensor.dataId).values !== NOT_READ;
        if (isThere) use(tensor.dataSync<'float32'>());
        else this.#deferred.push({ tensor: tf.keep(alias(tensor)), use });
        const numWords = this.#deferred.reduce((sum, each) => sum + each.tensor.size, 0);
        if (4 * numWords >= READ_BYTES) this.#readDeferred();
      },
      finish: () => this.#readDeferred(),
      drop: () => {
        for (const { tensor } of this.#deferred) tensor.dispose();
        this.#deferred = [];
      },
    };
  }

  /** Creates a tensor with arbitrary elements; throws as `Device.create`. */
  create(shape: readonly number[]): DeviceTensor {
    const length = shape.reduce((product, size) => product * size, 1);
    const buffer = this.device.create(4 * length);
    const tensor = tf.engine().makeTensor(NOT_READ, [...shape], 'float32');
    this.#buffers.set(tensor.dataId, { buffer, length });
    return { tensor, buffer };
  }

  /** Tells whether the device has the elements of a tensor. */
  holds({ dataId }: tf.Tensor): boolean {
    return this.#buffers.has(dataId);
  }

  /** Returns the buffer of a tensor, which may be of the host; throws as `Device.create`. */
  bufferOf(tensor: tf.Tensor): number {
    const held = this.#buffers.get(tensor.dataId);
    if (held !== undefined) return held.buffer;
    const buffer = this.device.upload(tensor.dataSync<'float32'>());
    this.#buffers.set(tensor.dataId, { buffer, length: tensor.size });
    return buffer;
  }

  /** Declares that the device has changed the elements of a tensor in place, of which the host may hold the old ones. */
  hasChanged({ dataId }: tf.Tensor): void {
    const { tensorMap, binding } = nodeBackend();
    const data = tensorMap.get(dataId);
    // TensorFlow has a copy if one of its operations has read the tensor.
    if (data.id >= 0) binding.deleteTensor(data.id);
    data.id = -1;
    data.values = NOT_READ;
  }

  /** Provides a buffer of scratch memory, or with a copy of an array, during the call. */
  borrow<T>(content: number | Int32Array | Float32Array, use: (buffer: number) => T): T {
    const { device } = this;
    const buffer = typeof content === 'number' ? device.create(4 * content) : device.upload(content);
    try {
      return use(buffer);
    } finally {
      device.free(buffer);
    }
  }
}
