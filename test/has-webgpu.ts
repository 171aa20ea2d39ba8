import { existsSync, readdirSync } from 'node:fs';
import { findWebGpu } from '../scripts/webgpu.mjs';

const DRIVERS = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

/** Whether a graphics device is here, or a driver that stands in for one. */
export const HAS_WEBGPU =
  findWebGpu() !== null && DRIVERS.some((folder) => existsSync(folder) && readdirSync(folder).length > 0);
