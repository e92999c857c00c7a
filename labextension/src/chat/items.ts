/**
 * Context items, which the screen shows as pills: offered by themselves or added by
 * hand, each thing once, and what a draft keeps of them.
 */
import { ApiError } from '../api';
import type {
  ContextPart,
  FeatureName,
  IGonePart,
  IImagePart,
  SentPart
} from '../wire/types';
import type { ISavedItem } from './drafts';
import { isLocked } from './features';
import type { Sources } from './sources';
import type { IContextItem } from './tokens';

/** A picture: it has no home in the workspace, so the item carries it. */
export interface IImageItem extends IContextItem {
  kind: 'image';
  image: IImagePart;
}

export interface IContextItems {
  /** by hand, in the order they were added */
  items: readonly IContextItem[];
  /** what the sources offer by themselves now */
  automatic: readonly IContextItem[];
  /** automatic ones that were taken off */
  dismissed: ReadonlySet<string>;
  /** what an admin switched off: such items are shown, and do not travel */
  off: ReadonlySet<FeatureName>;
}

export function isImageItem(item: IContextItem): item is IImageItem {
  return item.kind === 'image' && 'image' in item;
}

export function fileItem(
  path: string,
  kind: 'file' | 'folder' = 'file'
): IContextItem {
  const name = path.replace(/\/+$/, '').split('/').pop() || '/';
  return {
    key: `${kind}:${path}`,
    kind,
    label: name,
    path,
    auto: false,
    read: async () => ({ type: kind, path })
  };
}

export function imageItem(image: IImagePart, serial: string): IImageItem {
  return {
    key: `image:${serial}`,
    kind: 'image',
    label: image.name,
    auto: false,
    image,
    read: async () => image
  };
}

/** Automatic ones first, each thing once; also what is locked. */
export function shownItems(state: IContextItems): IContextItem[] {
  const manual = new Set(state.items.map(item => item.key));
  const automatic = state.automatic.filter(
    item =>
      !state.dismissed.has(item.key) &&
      !manual.has(item.key) &&
      !manual.has(item.held ?? item.key)
  );
  return [...automatic, ...state.items];
}

/** Everything that travels. */
export function attachedItems(state: IContextItems): IContextItem[] {
  return shownItems(state).filter(item => !isLocked(state.off, item.kind));
}

/** Milliseconds: a question waits no longer for a thing that goes along. */
export const READ_LIMIT = 10_000;

/** Rejects with `ApiError` (`not_read`), also when it takes too long. */
async function read(
  item: IContextItem,
  most?: number
): Promise<ContextPart | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('late')), READ_LIMIT);
  });
  try {
    return await Promise.race([item.read(most), late]);
  } catch (error) {
    throw new ApiError(0, {
      code: 'not_read',
      message: String(error),
      detail: { what: item.label }
    });
  } finally {
    clearTimeout(timer);
  }
}

/** The parts of this moment, in the items' order; null is gone meanwhile. */
export function readParts(
  items: readonly IContextItem[],
  most?: number
): Promise<(ContextPart | null)[]> {
  return Promise.all(
    items.map(async item => {
      const part = await read(item, most);
      return part && { ...part, auto: item.auto };
    })
  );
}

/** What is gone travels by its name: the question shows it, and the model is told. */
export async function partsToSend(
  items: readonly IContextItem[],
  most?: number
): Promise<(SentPart | null)[]> {
  const parts = await readParts(items, most);
  return parts.map((part, index) => part ?? gonePart(items[index]));
}

function gonePart(item: IContextItem): IGonePart | null {
  const { kind, path, auto } = item;
  const label = item.label.slice(0, MAX_NAME);
  return path && (kind === 'cells' || kind === 'selection' || kind === 'error')
    ? { type: 'gone', kind, path, label, auto }
    : null;
}

/** Of these what is not `there` yet, each thing once, as it is when added by hand. */
export function newItems(
  items: readonly IContextItem[],
  there: readonly IContextItem[]
): IContextItem[] {
  const known = new Set(there.map(item => item.key));
  return items
    .filter(item => !known.has(item.key) && known.add(item.key))
    .map(item => (item.auto ? { ...item, auto: false } : item));
}

/** The `dismissed` after this thing was taken off: its automatic items stay off. */
export function takenOff(
  { automatic, dismissed }: IContextItems,
  key: string
): ReadonlySet<string> {
  const off = automatic.filter(item => item.key === key || item.held === key);
  return new Set([...dismissed, ...off.map(item => item.key)]);
}

/** The `dismissed` after these were put back. */
export function offeredAgain(
  { dismissed }: IContextItems,
  keys: readonly string[]
): ReadonlySet<string> {
  return new Set([...dismissed].filter(key => !keys.includes(key)));
}

/** What the sources offer now. A selection that comes back after it went away is a new one. */
export function withAutomatic(
  state: IContextItems,
  automatic: readonly IContextItem[]
): Partial<IContextItems> {
  const keys = new Set(automatic.map(item => item.key));
  const gone = state.automatic
    .filter(item => item.kind === 'selection' && !keys.has(item.key))
    .map(item => item.key);
  return gone.some(key => state.dismissed.has(key))
    ? { automatic, dismissed: offeredAgain(state, gone) }
    : { automatic };
}

/** Characters of a name: the server's limit. */
const MAX_NAME = 256;

/** Characters of one selection or of some cells that a draft keeps. */
const MAX_PART = 200_000;

/** What was read of items that only live in their page. */
const HELD = new WeakMap<IContextItem, ContextPart>();

/** A selection or cells are read at once: a draft keeps what a reload loses. */
export async function hold(item: IContextItem): Promise<boolean> {
  if (item.kind !== 'selection' && item.kind !== 'cells') {
    return false;
  }
  const part = await item.read().catch(() => null);
  if (part === null || JSON.stringify(part).length > MAX_PART) {
    return false;
  }
  HELD.set(item, part);
  return true;
}

export function saved(item: IContextItem): ISavedItem {
  const { key, kind, label, path } = item;
  return isImageItem(item)
    ? { key, kind, label, image: item.image }
    : { key, kind, label, path, part: HELD.get(item) };
}

/**
 * An item of a draft gets its `read` back: files read by path, pictures from the
 * draft, the rest is asked of the sources when the question is sent; what they do
 * not find is sent as it was added.
 */
export function revived(
  { key, kind, label, path, image, part }: ISavedItem,
  sources: Sources
): IContextItem {
  if ((kind === 'file' || kind === 'folder') && path !== undefined) {
    return { ...fileItem(path, kind), key, label };
  }
  if (image) {
    return { ...imageItem(image, ''), key, label };
  }
  const read = async (most?: number): Promise<ContextPart | null> => {
    const found = sources.resolve(key);
    return found ? found.read(most) : (part ?? null);
  };
  const again = { key, kind, label, path, auto: false, read };
  if (part) {
    HELD.set(again, part);
  }
  return again;
}
