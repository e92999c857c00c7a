import type { ITurn } from '../../wire/types';
import { ComposerModel } from '../composer';
import {
  attachedItems,
  fileItem,
  partsToSend,
  readParts,
  shownItems
} from '../items';
import { Drafts, EMPTY_DRAFT, type IDraftStorage } from '../drafts';
import {
  recallEarlier,
  recallLater,
  recallList,
  NOT_RECALLING
} from '../recall';
import type { IContextItem, IContextSource } from '../tokens';
import { tick } from './server';

class Shelf implements IDraftStorage {
  readonly kept = new Map<string, string>();
  getItem = (key: string): string | null => this.kept.get(key) ?? null;
  setItem = (key: string, value: string): void =>
    void this.kept.set(key, value);
  removeItem = (key: string): void => void this.kept.delete(key);
}

class Source implements IContextSource {
  items: IContextItem[] = [];
  private listener = (): void => {};
  automatic = (): IContextItem[] => this.items;
  searched: boolean[] = [];
  mentions = async (_: string, search: boolean): Promise<IContextItem[]> => {
    this.searched.push(search);
    return [];
  };
  onChanged(listener: () => void): () => void {
    this.listener = listener;
    return () => {};
  }
  resolve = (key: string): IContextItem | null =>
    this.items.find(item => item.key === key) ?? null;
  offer(...items: IContextItem[]): void {
    this.items = items;
    this.listener();
  }
}

function auto(kind: 'file' | 'selection', path: string): IContextItem {
  return {
    ...fileItem(path),
    key: `${kind}:${path}`,
    kind,
    auto: true
  };
}

const PENDING: ITurn = {
  id: 't',
  conversation_id: 'c',
  parent_id: null,
  state: 'pending',
  mode: 'ask',
  text: 'pending text',
  created: 0
};

function keys(model: ComposerModel): string[] {
  return attachedItems(model.getState()).map(item => item.key);
}

function fresh(shelf = new Shelf()): {
  model: ComposerModel;
  source: Source;
  drafts: Drafts;
} {
  const drafts = new Drafts(shelf, '/user/ann/');
  const model = new ComposerModel(drafts);
  const source = new Source();
  model.sources.add(source);
  return { model, source, drafts };
}

describe('the composer without its screen', () => {
  it('attaches automatic things first, and each thing once', () => {
    const { model, source } = fresh();
    source.offer(auto('file', 'a.py'));
    model.add([fileItem('b.csv'), fileItem('b.csv')]);
    expect(keys(model)).toEqual(['file:a.py', 'file:b.csv']);
    model.add([fileItem('a.py')]);
    expect(keys(model)).toEqual(['file:b.csv', 'file:a.py']);
  });

  it('sends a selection once that was added by hand while it is still selected', () => {
    const { model, source } = fresh();
    const live = { ...auto('selection', 'a.py'), held: 'selection:a.py#:3-9' };
    source.offer(live);
    model.add([{ ...live, key: live.held, held: undefined }]);
    expect(keys(model)).toEqual(['selection:a.py#:3-9']);
    source.offer({ ...live, held: 'selection:a.py#:20-40' });
    expect(keys(model)).toEqual(['selection:a.py', 'selection:a.py#:3-9']);
    source.offer(live);
    model.remove('selection:a.py#:3-9');
    expect(keys(model)).toEqual([]);
  });

  it('sends what was put back with its key again, until it is changed', () => {
    const { model } = fresh();
    model.setText('one');
    const taken = model.take();
    model.putBack(taken);
    const again = model.take();
    expect(again.key).toBe(taken.key);
    model.putBack(again);
    model.setText('one more');
    expect(model.take().key).not.toBe(taken.key);
  });

  it('keeps the key of what was put back over a reload and over another conversation', () => {
    const shelf = new Shelf();
    const { model, drafts } = fresh(shelf);
    model.setText('one');
    const taken = model.take();
    model.switchTo('c1');
    model.putBack(taken);
    drafts.flush();
    const later = fresh(shelf).model;
    expect(later.take()).toMatchObject({ key: taken.key, text: 'one' });
    model.switchTo('');
    expect(model.take().key).toBe(taken.key);
  });

  it('gives a new key to what was put back before other words', () => {
    const { model } = fresh();
    model.setText('one');
    const taken = model.take();
    model.setText('typed meanwhile');
    model.putBack(taken);
    expect(model.take().key).not.toBe(taken.key);
  });

  it('keeps an automatic thing off until it is put back', () => {
    const { model, source } = fresh();
    source.offer(auto('file', 'a.py'));
    model.remove('file:a.py');
    source.offer(auto('file', 'a.py'));
    expect(keys(model)).toEqual([]);
    model.restore('file:a.py');
    expect(keys(model)).toEqual(['file:a.py']);
  });

  it('offers a new selection after one that was taken off is gone', () => {
    const { model, source } = fresh();
    source.offer(auto('selection', 'a.py'));
    model.remove('selection:a.py');
    source.offer();
    source.offer(auto('selection', 'a.py'));
    expect(keys(model)).toEqual(['selection:a.py']);
  });

  it('attaches nothing by itself when the user does not want it', () => {
    const { model, source } = fresh();
    source.offer(auto('file', 'a.py'));
    model.offerAutomatic(false);
    expect(keys(model)).toEqual([]);
    model.offerAutomatic(true);
    expect(keys(model)).toEqual(['file:a.py']);
  });

  it('shows what an admin locked and lets it not travel', async () => {
    const { model, source } = fresh();
    source.offer(auto('file', 'a.py'), auto('selection', 'a.py'));
    model.lock(new Set(['attach_files', 'search']));
    expect(shownItems(model.getState())).toHaveLength(2);
    expect(keys(model)).toEqual(['selection:a.py']);
    await model.mentions('a');
    model.lock(new Set());
    expect(keys(model)).toEqual(['file:a.py', 'selection:a.py']);
    await model.mentions('a');
    expect(source.searched).toEqual([false, true]);
  });

  it('keeps a draft per conversation over a reload', async () => {
    const shelf = new Shelf();
    const before = fresh(shelf);
    before.model.setText('half a thought');
    before.model.add([fileItem('b.csv')]);
    before.model.switchTo('c1');
    expect(before.model.getState().text).toBe('');
    before.model.setText('other');
    before.drafts.flush();

    const { model } = fresh(shelf);
    expect(model.getState().text).toBe('half a thought');
    expect(keys(model)).toEqual(['file:b.csv']);
    const parts = await readParts(model.getState().items);
    expect(parts).toEqual([{ type: 'file', path: 'b.csv', auto: false }]);
    model.switchTo('c1');
    expect(model.getState().text).toBe('other');
  });

  it('finds a cell of a draft again through its source, and tells when it is gone', async () => {
    const shelf = new Shelf();
    const before = fresh(shelf);
    before.model.add([{ ...auto('selection', 'a.py'), auto: false }]);
    before.drafts.flush();

    const { model, source } = fresh(shelf);
    expect(await readParts(model.getState().items)).toEqual([null]);
    source.offer(auto('selection', 'a.py'));
    expect(await readParts(model.getState().items)).toHaveLength(1);
  });

  it('sends of a cell that is gone its name, so that the question can say so', async () => {
    const cell: IContextItem = {
      key: 'cells:a.ipynb#c1',
      kind: 'cells',
      label: 'Cell 3',
      path: 'a.ipynb',
      auto: false,
      read: async () => null
    };
    const image = { ...cell, kind: 'image' as const };
    expect(await partsToSend([cell, fileItem('b.csv'), image])).toEqual([
      {
        type: 'gone',
        kind: 'cells',
        path: 'a.ipynb',
        label: 'Cell 3',
        auto: false
      },
      { type: 'file', path: 'b.csv', auto: false },
      null
    ]);
  });

  it('puts a message back when it could not be sent, before what was typed since', () => {
    const { model } = fresh();
    model.setText('first');
    model.add([fileItem('b.csv')]);
    const taken = model.take();
    expect(model.getState().text).toBe('');
    model.setText('second');
    model.putBack(taken);
    expect(model.getState().text).toBe('first\nsecond');
    expect(keys(model)).toEqual(['file:b.csv']);
  });

  it('puts a message back into its own conversation when another is shown', () => {
    const { model } = fresh();
    model.switchTo('c1');
    model.setText('first');
    const taken = model.take();
    model.switchTo('c2');
    model.putBack(taken);
    expect(model.getState().text).toBe('');
    model.switchTo('c1');
    expect(model.getState().text).toBe('first');
  });

  it('keeps what is typed while a new conversation gets its id', () => {
    const { model } = fresh();
    model.setText('question');
    model.take();
    model.setText('typed meanwhile');
    model.carryTo('c1');
    expect(model.getState()).toMatchObject({
      conversation: 'c1',
      text: 'typed meanwhile'
    });
    model.switchTo('');
    expect(model.getState().text).toBe('');
  });

  it('lets the draft wait under the edit of a pending message', () => {
    const { model } = fresh();
    model.setText('draft');
    model.edit(PENDING);
    model.setText('changed');
    model.endEdit();
    expect(model.getState()).toMatchObject({ text: 'draft', editing: null });
  });

  it('goes on with an edit after another conversation was shown, and after a reload', () => {
    const shelf = new Shelf();
    const { model, drafts } = fresh(shelf);
    model.setText('draft');
    model.edit(PENDING);
    model.setText('changed');
    model.switchTo('c1');
    expect(model.getState()).toMatchObject({ text: '', editing: null });
    model.switchTo('');
    expect(model.getState()).toMatchObject({
      text: 'changed',
      editing: { id: 't' }
    });
    drafts.flush();
    const later = fresh(shelf).model;
    expect(later.getState()).toMatchObject({
      text: 'changed',
      editing: { id: 't' }
    });
    later.endEdit();
    expect(later.getState()).toMatchObject({ text: 'draft', editing: null });
  });

  it('makes a draft of the edit of a message that does not wait any more', () => {
    const { model } = fresh();
    model.setText('draft');
    model.edit(PENDING);
    model.setText('changed');
    model.endEdit(true);
    expect(model.getState()).toMatchObject({
      text: 'changed\ndraft',
      editing: null
    });
  });

  it('does not mix a question that failed into the edit of another', () => {
    const { model } = fresh();
    model.setText('question');
    const taken = model.take();
    model.edit(PENDING);
    model.putBack(taken);
    expect(model.getState().text).toBe('pending text');
    model.endEdit();
    expect(model.getState().text).toBe('question');
  });

  it('leaves the draft of another tab alone when only the cell or the conversation changes', () => {
    const shelf = new Shelf();
    const other = fresh(shelf);
    const here = fresh(shelf);
    other.model.setText('a long thought');
    other.drafts.flush();
    here.source.offer(auto('selection', 'a.py'));
    here.model.switchTo('c1');
    here.model.switchTo('');
    here.drafts.flush();
    expect(fresh(shelf).model.getState().text).toBe('a long thought');
  });

  it('sends a selection of a draft as it was added when no source finds it again', async () => {
    const shelf = new Shelf();
    const before = fresh(shelf);
    const part = { type: 'selection' as const, path: 'a.py', text: 'x = 1' };
    before.model.add([
      {
        ...auto('selection', 'a.py'),
        key: 'selection:held',
        auto: false,
        read: async () => part
      }
    ]);
    await tick();
    before.drafts.flush();
    for (const { model, drafts } of [fresh(shelf), fresh(shelf)]) {
      expect(await readParts(model.getState().items)).toEqual([
        { ...part, auto: false }
      ]);
      model.setText('typed');
      drafts.flush();
    }
  });

  it('tells that a draft is too long for the storage, until it is short or sent', () => {
    const shelf = new Shelf();
    const keep = shelf.setItem;
    shelf.setItem = (key, value) => {
      if (value.length > 1000) {
        throw new Error('full');
      }
      keep(key, value);
    };
    const { model, drafts } = fresh(shelf);
    model.setText('x'.repeat(2000));
    drafts.flush();
    expect(model.getState().kept).toBe(false);
    model.switchTo('c1');
    expect(model.getState().kept).toBe(true);
    model.switchTo('');
    expect(model.getState().kept).toBe(false);
    model.take();
    drafts.flush();
    expect(model.getState().kept).toBe(true);
  });

  it('works on without a storage, and with one that is full', () => {
    const full: IDraftStorage = {
      getItem: () => {
        throw new Error('forbidden');
      },
      setItem: () => {
        throw new Error('full');
      },
      removeItem: () => {}
    };
    for (const storage of [null, full]) {
      const drafts = new Drafts(storage, '');
      const model = new ComposerModel(drafts);
      model.setText('kept');
      drafts.flush();
      model.switchTo('c1');
      model.switchTo('');
      expect(model.getState().text).toBe('kept');
    }
  });
});

describe('drafts of several tabs', () => {
  const type = (tab: Drafts, text: string, conversation = 'c'): void => {
    tab.load(conversation);
    tab.save(conversation, { ...EMPTY_DRAFT, text });
    tab.flush();
  };
  let all: Shelf;
  beforeEach(() => (all = new Shelf()));
  const open = (own = new Shelf()): Drafts => new Drafts(all, '/', own);
  const text = (tab: Drafts): string => tab.load('c').text;

  it('stay apart over a reload', () => {
    const first = new Shelf();
    type(open(first), 'tab one');
    const second = new Shelf();
    const other = open(second);
    expect(text(other)).toBe('tab one');
    type(other, 'tab two');
    expect(text(open(first))).toBe('tab one');
    expect(text(open(second))).toBe('tab two');
  });

  it('are handed to a new tab, the last written first, until they are sent', () => {
    const one = open();
    type(one, 'tab one');
    const two = open();
    two.save('c', { ...EMPTY_DRAFT, text: 'tab two' });
    two.flush();
    expect(text(open())).toBe('tab two');
    type(two, '');
    expect(text(open())).toBe('tab one');
    type(one, '');
    expect(text(open())).toBe('');
    expect(all.kept.size).toBe(0);
  });

  it('do not come back in a tab that sent its own, nor what another went on from', () => {
    type(open(), 'closed tab');
    const own = new Shelf();
    const heir = open(own);
    type(heir, 'closed tab, gone on');
    type(heir, '');
    expect(text(open(own))).toBe('');
    expect(text(open())).toBe('');
    type(open(), 'elsewhere');
    expect(text(open(own))).toBe('');
  });

  it('go on from their own after a reload', () => {
    const own = new Shelf();
    type(open(own), 'one');
    type(open(own), 'one two');
    type(open(own), '');
    expect(text(open())).toBe('');
  });

  it('are bounded', () => {
    for (let number = 0; number < 20; number += 1) {
      const tab = open();
      tab.save('c', { ...EMPTY_DRAFT, text: `tab ${number}` });
      tab.flush();
    }
    const [kept] = all.kept.values();
    expect(JSON.parse(kept)).toHaveLength(8);
    expect(text(open())).toBe('tab 19');
  });
});

describe('recall', () => {
  it('walks back through earlier messages and forward to the empty box', () => {
    const list = recallList(['one', 'two', 'two', ' ']);
    expect(list).toEqual(['two', 'one']);
    const newest = recallEarlier(list, NOT_RECALLING)!;
    expect(newest.text).toBe('two');
    const oldest = recallEarlier(list, newest)!;
    expect(oldest.text).toBe('one');
    expect(recallEarlier(list, oldest)).toBeNull();
    expect(recallLater(list, oldest)).toEqual(newest);
    expect(recallLater(list, newest)).toEqual(NOT_RECALLING);
    expect(recallLater(list, NOT_RECALLING)).toBeNull();
  });
});
