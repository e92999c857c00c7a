/**
 * The composer's state without its screen: text, attachments and drafts of the
 * conversation shown. Whoever adds context (mentions, drops, commands, other
 * plugins) does it here; the view draws it and sends what `take` hands out.
 */
import { requestKey } from '../api';
import type { FeatureName, ITurn } from '../wire/types';
import { EMPTY_DRAFT, type Drafts } from './drafts';
import {
  attachedItems,
  hold,
  newItems,
  offeredAgain,
  revived,
  saved,
  takenOff,
  withAutomatic,
  type IContextItems
} from './items';
import { Sources } from './sources';
import { Observable } from './state';
import type { IContextItem } from './tokens';

/** A file on its way from the computer into the workspace. */
export interface IUpload {
  id: number;
  name: string;
  /** 0 to 1 */
  progress: number;
  error: string | null;
}

export interface IComposerState extends IContextItems {
  /** '' is the conversation that does not exist yet */
  conversation: string;
  text: string;
  uploads: readonly IUpload[];
  /** the browser keeps all of the draft over a reload */
  kept: boolean;
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

const EMPTY_COMPOSER: IComposerState = {
  conversation: '',
  text: '',
  items: [],
  automatic: [],
  dismissed: new Set(),
  off: new Set(),
  uploads: [],
  kept: true,
  key: null,
  editing: null,
  revision: 0,
  focus: 0
};

export class ComposerModel extends Observable<IComposerState> {
  constructor(private readonly drafts: Drafts) {
    super(EMPTY_COMPOSER);
    this.state = { ...this.state, ...this.restored('') };
    this.sources.onChanged(() => this.refreshAutomatic());
    drafts.onWritten = () =>
      this.set({ kept: drafts.isKept(this.state.conversation) });
  }

  readonly sources = new Sources();

  /** What the sources offer for `@` and this query. */
  mentions(query: string): Promise<IContextItem[]> {
    return this.sources.mentions(query, !this.state.off.has('search'));
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

  setText(text: string): void {
    this.set({ text });
  }

  /** Put text there that the user did not type; the caret goes to its end. */
  fill(text: string): void {
    this.set({ text, revision: this.state.revision + 1 });
  }

  /** Put the cursor into the text. */
  focus(): void {
    this.set({ focus: this.state.focus + 1 });
  }

  add(items: readonly IContextItem[]): void {
    const fresh = newItems(items, this.state.items);
    this.set({
      items: [...this.state.items, ...fresh],
      dismissed: offeredAgain(
        this.state,
        items.map(item => item.key)
      )
    });
    fresh.forEach(item => void this.keep(item));
  }

  /** Into the draft goes also what was read of it. */
  private async keep(item: IContextItem): Promise<void> {
    if ((await hold(item)) && this.state.items.includes(item)) {
      this.save(this.state);
    }
  }

  /** Take an attachment off; an automatic one stays off until it is put back. */
  remove(key: string): void {
    this.set({
      items: this.state.items.filter(item => item.key !== key),
      dismissed: takenOff(this.state, key)
    });
  }

  /** Put an automatic item back that was taken off. */
  restore(key: string): void {
    this.set({ dismissed: offeredAgain(this.state, [key]) });
  }

  /** Empty the composer for a send, also of what was refused; automatic items stay. */
  take(): ITaken {
    const { conversation, text, items } = this.state;
    const key = this.state.key ?? requestKey();
    const attached = attachedItems(this.state);
    this.returned.delete(conversation);
    this.set({
      text: '',
      items: [],
      uploads: onTheirWay(this.state.uploads),
      revision: this.state.revision + 1
    });
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
        text: this.returns(taken, draft.text),
        items: [...taken.items.map(saved), ...draft.items]
      });
      return;
    }
    const known = new Set(this.state.items.map(item => item.key));
    const alone = this.state.text === '' && known.size === 0;
    this.set({
      key: alone ? taken.key : null,
      text: this.returns(taken, this.state.text),
      items: [
        ...taken.items.filter(item => !known.has(item.key)),
        ...this.state.items
      ],
      revision: this.state.revision + 1
    });
  }

  /** Behind what came back before it, and before what was typed since. */
  private returns({ conversation, text }: ITaken, now: string): string {
    const earlier = this.returned.get(conversation);
    const stands = earlier !== undefined && startsWithLine(now, earlier);
    const first = stands ? joined(earlier, text) : text;
    this.returned.set(conversation, first);
    return joined(first, stands ? now.slice(earlier.length + 1) : now);
  }

  /** Show another conversation's draft. */
  switchTo(conversation: string): void {
    if (conversation === this.state.conversation) {
      return;
    }
    this.set({
      ...this.restored(conversation),
      uploads: onTheirWay(this.state.uploads),
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
    this.set({
      conversation,
      key: null,
      text: joined(text, draft.text),
      items: [...items, ...draft.items.map(item => revived(item, this.sources))]
    });
    this.save(this.state);
  }

  /** Edit a pending turn here; the draft waits underneath. */
  edit(turn: ITurn): void {
    this.set({
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
    this.set({
      ...this.restored(conversation),
      revision: this.state.revision + 1
    });
  }

  /** What the admin's policy says now. */
  lock(off: ReadonlySet<FeatureName>): void {
    if ([...off].join() !== [...this.state.off].join()) {
      this.set({ off });
    }
  }

  setUploads(change: (uploads: readonly IUpload[]) => IUpload[]): void {
    this.set({ uploads: change(this.state.uploads) });
  }

  /** Off: nothing is attached that was not added by hand. */
  offerAutomatic(on: boolean): void {
    if (on !== this.offering) {
      this.offering = on;
      this.refreshAutomatic();
    }
  }

  private refreshAutomatic(): void {
    const automatic = this.offering ? this.sources.automatic() : [];
    this.set(withAutomatic(this.state, automatic));
  }

  /** What the user changed goes into the draft, and is no longer the question put back. */
  protected override set(change: Partial<IComposerState>): void {
    const next = { ...this.state, ...change };
    if (!isWritten(this.state, next)) {
      super.set(change);
      return;
    }
    const key = change.key ?? null;
    this.save({ ...next, key });
    super.set({ ...change, key });
  }

  private save(state: IComposerState): void {
    const { conversation, key, editing, text, items, dismissed } = state;
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
    'conversation' | 'kept' | 'key' | 'text' | 'items' | 'dismissed' | 'editing'
  > {
    const draft = this.drafts.load(conversation);
    return {
      conversation,
      kept: this.drafts.isKept(conversation),
      key: draft.edit ? null : (draft.key ?? null),
      text: draft.edit?.text ?? draft.text,
      items: draft.edit
        ? []
        : draft.items.map(item => revived(item, this.sources)),
      dismissed: new Set(draft.dismissed),
      editing: draft.edit?.turn ?? null
    };
  }

  private offering = true;
  /** what came back of refused questions, by conversation */
  private readonly returned = new Map<string, string>();
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

function onTheirWay(uploads: readonly IUpload[]): IUpload[] {
  return uploads.filter(upload => upload.error === null);
}

function startsWithLine(text: string, line: string): boolean {
  return text === line || text.startsWith(`${line}\n`);
}

function joined(first: string, second: string): string {
  return first === '' || second === '' ? first + second : `${first}\n${second}`;
}
