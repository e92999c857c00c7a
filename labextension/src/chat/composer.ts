/**
 * The composer's state without its screen: text, attachments and drafts of the
 * conversation shown. Whoever adds context (mentions, drops, commands, other
 * plugins) does it here; the view draws it and sends what `take` hands out.
 */
import { requestKey } from '../api';
import type {
  ContextPart,
  FeatureName,
  IImagePart,
  ITurn
} from '../wire/types';
import { EMPTY_DRAFT, type Drafts, type ISavedItem } from './drafts';
import { isLocked } from './features';
import type { IContextItem, IContextSource, IDragData } from './tokens';

/** A picture: it has no home in the workspace, so the item carries it. */
export interface IImageItem extends IContextItem {
  kind: 'image';
  image: IImagePart;
}

export function isImageItem(item: IContextItem): item is IImageItem {
  return item.kind === 'image' && 'image' in item;
}

/** A file on its way from the computer into the workspace. */
export interface IUpload {
  id: number;
  name: string;
  /** 0 to 1 */
  progress: number;
  error: string | null;
}

export interface IComposerState {
  /** '' is the conversation that does not exist yet */
  conversation: string;
  text: string;
  /** by hand, in the order they were added */
  items: readonly IContextItem[];
  /** what the sources offer by themselves now */
  automatic: readonly IContextItem[];
  /** automatic ones that were taken off */
  dismissed: ReadonlySet<string>;
  /** what an admin switched off: such items are shown, and do not travel */
  off: ReadonlySet<FeatureName>;
  uploads: readonly IUpload[];
  /** of the question that was put back, until something of it changes; null: a new one */
  key: string | null;
  /** the pending turn that is being edited here */
  editing: ITurn | null;
  /** grows when the text was set from outside: the view then moves the caret */
  revision: number;
  /** grows when the cursor shall go into the text */
  focus: number;
}

/** What a send takes out of the composer, and puts back when it failed. */
export interface ITaken {
  /** the `request_key`: what comes back unchanged is asked once, however often it is sent */
  key: string;
  conversation: string;
  text: string;
  items: readonly IContextItem[];
  attached: readonly IContextItem[];
}

/** Automatic ones first, each thing once; also what is locked. */
export function shownItems(state: IComposerState): IContextItem[] {
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
export function attachedItems(state: IComposerState): IContextItem[] {
  return shownItems(state).filter(item => !isLocked(state.off, item.kind));
}

/** The parts of this moment; what is gone meanwhile (null) stays behind. */
export async function readParts(
  items: readonly IContextItem[],
  most?: number
): Promise<ContextPart[]> {
  const parts = await Promise.all(items.map(item => item.read(most)));
  return parts.flatMap((part, index) =>
    part === null ? [] : [{ ...part, auto: items[index].auto }]
  );
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

/** Characters of one selection or of some cells that a draft keeps. */
const MAX_PART = 200_000;

/** What was read of items that only live in their page. */
const HELD = new WeakMap<IContextItem, ContextPart>();

export class ComposerModel {
  constructor(private readonly drafts: Drafts) {
    this.state = {
      automatic: [],
      off: new Set(),
      uploads: [],
      revision: 0,
      focus: 0,
      ...this.restored('')
    };
  }

  getState = (): IComposerState => this.state;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  addSource(source: IContextSource): void {
    this.sources.push(source);
    source.onChanged(() => this.refreshAutomatic());
    this.refreshAutomatic();
  }

  /** What the sources offer for `@` and this query, in the sources' order. */
  async mentions(query: string): Promise<IContextItem[]> {
    const answers = await Promise.all(
      this.sources.map(source =>
        source.mentions(query, !this.state.off.has('search')).catch(() => [])
      )
    );
    return answers.flat();
  }

  /** The error that was seen last in what is open. */
  lastError(): IContextItem | null {
    for (const source of this.sources) {
      const error = source.lastError?.();
      if (error) {
        return error;
      }
    }
    return null;
  }

  /** A suggestion for the text: what is already typed stays, after a command. */
  propose(text: string): void {
    const typed = this.state.text.trim() === '' ? '' : this.state.text;
    this.fill(
      typed === ''
        ? text
        : text.startsWith('/')
          ? text + typed
          : `${typed}\n${text}`
    );
  }

  /** What a drag inside JupyterLab carries, as the sources understand it. */
  dropped = async (data: IDragData): Promise<IContextItem[]> => {
    const answers = await Promise.all(
      this.sources.map(source => source.dropped?.(data) ?? [])
    );
    return answers.flat();
  };

  setText(text: string): void {
    this.update({ text });
  }

  /** Put text there that the user did not type; the caret goes to its end. */
  fill(text: string): void {
    this.update({ text, revision: this.state.revision + 1 });
  }

  /** Put the cursor into the text. */
  focus(): void {
    this.update({ focus: this.state.focus + 1 });
  }

  add(items: readonly IContextItem[]): void {
    const known = new Set(this.state.items.map(item => item.key));
    const fresh = items
      .filter(item => !known.has(item.key) && known.add(item.key))
      .map(item => (item.auto ? { ...item, auto: false } : item));
    const dismissed = new Set(this.state.dismissed);
    items.forEach(item => dismissed.delete(item.key));
    this.update({
      items: [...this.state.items, ...fresh],
      dismissed
    });
    fresh.forEach(item => void this.hold(item));
  }

  /** A selection or cells are read at once: the draft keeps what a reload loses. */
  private async hold(item: IContextItem): Promise<void> {
    if (item.kind !== 'selection' && item.kind !== 'cells') {
      return;
    }
    const part = await item.read().catch(() => null);
    if (part && JSON.stringify(part).length <= MAX_PART) {
      HELD.set(item, part);
      if (this.state.items.includes(item)) {
        this.save();
      }
    }
  }

  /** Take an attachment off; an automatic one stays off until it is put back. */
  remove(key: string): void {
    const dismissed = new Set(this.state.dismissed);
    this.state.automatic
      .filter(item => item.key === key || item.held === key)
      .forEach(item => dismissed.add(item.key));
    this.update({
      items: this.state.items.filter(item => item.key !== key),
      dismissed
    });
  }

  /** Put an automatic item back that was taken off. */
  restore(key: string): void {
    const dismissed = new Set(this.state.dismissed);
    dismissed.delete(key);
    this.update({ dismissed });
  }

  /** Empty the composer for a send; automatic items stay for the next question. */
  take(): ITaken {
    const { conversation, text, items } = this.state;
    const key = this.state.key ?? requestKey();
    const attached = attachedItems(this.state);
    this.update({ text: '', items: [], revision: this.state.revision + 1 });
    return { key, conversation, text, items, attached };
  }

  /** The send failed: nothing typed is lost, also not what was typed meanwhile. */
  putBack(taken: ITaken): void {
    const { conversation, editing } = this.state;
    if (taken.conversation !== conversation || editing !== null) {
      const draft = this.drafts.load(taken.conversation);
      this.drafts.save(taken.conversation, {
        ...draft,
        key: draft.text || draft.items.length ? undefined : taken.key,
        text: joined(taken.text, draft.text),
        items: [...taken.items.map(saved), ...draft.items]
      });
      return;
    }
    const known = new Set(this.state.items.map(item => item.key));
    const alone = this.state.text === '' && known.size === 0;
    this.update({
      key: alone ? taken.key : null,
      text: joined(taken.text, this.state.text),
      items: [
        ...taken.items.filter(item => !known.has(item.key)),
        ...this.state.items
      ],
      revision: this.state.revision + 1
    });
  }

  /** Show another conversation's draft. */
  switchTo(conversation: string): void {
    if (conversation === this.state.conversation) {
      return;
    }
    this.update({
      ...this.restored(conversation),
      revision: this.state.revision + 1
    });
  }

  /** Another conversation, and what is typed comes along, before its own draft. */
  carryTo(conversation: string): void {
    const before = this.state.conversation;
    if (conversation === before) {
      return;
    }
    this.endEdit(true);
    const { text, items } = this.state;
    const draft = this.drafts.load(conversation);
    this.drafts.save(before, EMPTY_DRAFT);
    this.update({
      conversation,
      key: null,
      text: joined(text, draft.text),
      items: [...items, ...draft.items.map(item => this.revived(item))]
    });
    this.save();
  }

  /** Edit a pending turn here; the draft waits underneath. */
  edit(turn: ITurn): void {
    this.update({
      editing: turn,
      text: turn.text,
      items: [],
      revision: this.state.revision + 1
    });
  }

  /** `keepText`: the pending turn is gone; what was typed becomes a draft. */
  endEdit(keepText = false): void {
    const { conversation, editing, text } = this.state;
    if (editing === null) {
      return;
    }
    const draft = this.drafts.load(conversation);
    this.drafts.save(conversation, {
      ...draft,
      key: keepText ? undefined : draft.key,
      text: keepText ? joined(text, draft.text) : draft.text,
      edit: undefined
    });
    this.update({
      ...this.restored(conversation),
      revision: this.state.revision + 1
    });
  }

  /** What the admin's policy says now. */
  lock(off: ReadonlySet<FeatureName>): void {
    if ([...off].join() !== [...this.state.off].join()) {
      this.update({ off });
    }
  }

  setUploads(change: (uploads: readonly IUpload[]) => IUpload[]): void {
    this.update({ uploads: change(this.state.uploads) });
  }

  /** Off: nothing is attached that was not added by hand. */
  offerAutomatic(on: boolean): void {
    if (on !== this.offering) {
      this.offering = on;
      this.refreshAutomatic();
    }
  }

  private refreshAutomatic(): void {
    const automatic = this.offering
      ? this.sources.flatMap(source => source.automatic())
      : [];
    const keys = new Set(automatic.map(item => item.key));
    // A selection that went away and comes back is a new one: offer it again.
    const back = [...this.state.dismissed].filter(
      key => !keys.has(key) && this.wasSelection(key)
    );
    if (!back.length) {
      this.update({ automatic });
      return;
    }
    const dismissed = new Set(this.state.dismissed);
    back.forEach(key => dismissed.delete(key));
    this.update({ automatic, dismissed });
  }

  private wasSelection(key: string): boolean {
    return this.state.automatic.some(
      item => item.key === key && item.kind === 'selection'
    );
  }

  private update(change: Partial<IComposerState>): void {
    const before = this.state;
    this.state = { ...before, ...change };
    if (isWritten(before, this.state)) {
      this.state.key = change.key ?? null;
      this.save();
    }
    this.listeners.forEach(listener => listener());
  }

  private save(): void {
    const { conversation, key, editing, text, items, dismissed } = this.state;
    this.drafts.save(
      conversation,
      editing
        ? {
            ...this.drafts.load(conversation),
            edit: { turn: editing, text }
          }
        : {
            text,
            items: items.map(saved),
            dismissed: [...dismissed],
            key: key ?? undefined
          }
    );
  }

  private restored(
    conversation: string
  ): Pick<
    IComposerState,
    'conversation' | 'key' | 'text' | 'items' | 'dismissed' | 'editing'
  > {
    const draft = this.drafts.load(conversation);
    return {
      conversation,
      key: draft.edit ? null : (draft.key ?? null),
      text: draft.edit?.text ?? draft.text,
      items: draft.edit ? [] : draft.items.map(item => this.revived(item)),
      dismissed: new Set(draft.dismissed),
      editing: draft.edit?.turn ?? null
    };
  }

  /**
   * An item of a draft gets its `read` back: files read by path, pictures from the
   * draft, the rest is asked of the sources when the question is sent; what they do
   * not find is sent as it was added.
   */
  revived(item: ISavedItem): IContextItem {
    const { key, kind, label, path } = item;
    if ((kind === 'file' || kind === 'folder') && path !== undefined) {
      return { ...fileItem(path, kind), key, label };
    }
    if (item.image) {
      return { ...imageItem(item.image, ''), key, label };
    }
    const read = async (most?: number): Promise<ContextPart | null> => {
      for (const source of this.sources) {
        const found = source.resolve?.(key);
        if (found) {
          return found.read(most);
        }
      }
      return item.part ?? null;
    };
    const again = { key, kind, label, path, auto: false, read };
    if (item.part) {
      HELD.set(again, item.part);
    }
    return again;
  }

  private state: IComposerState;
  private offering = true;
  private readonly listeners = new Set<() => void>();
  private readonly sources: IContextSource[] = [];
}

/**
 * Did the user change this draft? Other tabs have drafts, too: one that was only
 * shown, or that got other automatic items, is not written over theirs.
 */
function isWritten(before: IComposerState, now: IComposerState): boolean {
  return (
    before.conversation === now.conversation &&
    (before.text !== now.text ||
      before.items !== now.items ||
      before.dismissed !== now.dismissed ||
      before.editing !== now.editing)
  );
}

function joined(first: string, second: string): string {
  return first === '' || second === '' ? first + second : `${first}\n${second}`;
}

export function saved(item: IContextItem): ISavedItem {
  const { key, kind, label, path } = item;
  return isImageItem(item)
    ? { key, kind, label, image: item.image }
    : { key, kind, label, path, part: HELD.get(item) };
}
