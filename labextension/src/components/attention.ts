/**
 * The marks of an answer that ended unseen: a count before the page's title, a dot
 * on the panel's tab and on the way to the conversation, and a notification when the user wants them.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { MessageLoop, type Message } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

import { notify, watchAttention } from '../chat/attention';
import type { ChatStore } from '../chat/store';
import type { ITurn } from '../wire/types';

export interface IAttendOptions {
  trans: TranslationBundle;
  store: ChatStore;
  /** the panel: its tab gets the dot */
  panel: Widget;
  /** the user's setting; the browser's permission is another thing */
  wantsNotification(): boolean;
  /** show the panel: a click on the notification */
  open(): void;
}

const UNSEEN = 'jp-Cellar-unseen';
const COUNT = /^\(\d+\) /;

/** Answers the way to end it. */
export function attend(options: IAttendOptions): () => void {
  const { trans, store, panel, open } = options;
  const caption = panel.title.caption;
  const title = new CountedTitle();
  const stop = watchAttention({
    turns: () => {
      const { turns, elsewhere } = store.getState();
      return elsewhere.size ? new Map([...elsewhere, ...turns]) : turns;
    },
    subscribe: store.subscribe,
    seen: () => !document.hidden && panel.isVisible,
    shown: () => store.getState().conversationId,
    conversations: idsOf(store),
    onSeen: listener => onSeen(panel, listener),
    mark: unseen => {
      const count = unseen.size;
      store.setUnseen(new Set(unseen.values()));
      title.set(count);
      panel.title.className = panel.title.className
        .split(' ')
        .filter(name => name !== '' && name !== UNSEEN)
        .concat(count > 0 ? [UNSEEN] : [])
        .join(' ');
      panel.title.caption =
        count > 0
          ? trans._n('%2: %1 new answer', '%2: %1 new answers', count, caption)
          : caption;
    },
    tell: turn => {
      if (options.wantsNotification()) {
        notify(words(trans, turn), turn.text.slice(0, 120), () => {
          open();
          if (store.getState().conversationId !== turn.conversation_id) {
            void store.open(turn.conversation_id);
          }
        });
      }
    }
  });
  return () => {
    stop();
    title.dispose();
  };
}

/** Read again only when the list is another one. */
function idsOf(store: ChatStore): () => readonly string[] {
  let list = store.getState().conversations;
  let ids = list.map(({ id }) => id);
  return () => {
    const now = store.getState().conversations;
    if (now !== list) {
      list = now;
      ids = list.map(({ id }) => id);
    }
    return ids;
  };
}

/** The count before the page's title. JupyterLab writes the title anew with each document shown: the count is put back. */
class CountedTitle {
  constructor() {
    this.observer = new MutationObserver(() => this.write());
    this.observer.observe(document.head, {
      childList: true,
      subtree: true,
      characterData: true
    });
  }

  set(count: number): void {
    this.count = count;
    this.write();
  }

  dispose(): void {
    this.observer.disconnect();
  }

  private write(): void {
    const { count } = this;
    const plain = document.title.replace(COUNT, '');
    const wanted = count > 0 ? `(${count}) ${plain}` : plain;
    if (count !== this.shown || (count > 0 && document.title !== wanted)) {
      this.shown = count;
      document.title = wanted;
    }
  }

  private readonly observer: MutationObserver;
  private count = 0;
  private shown = 0;
}

function words(trans: TranslationBundle, turn: ITurn): string {
  return turn.state === 'error'
    ? trans.__('Cellar: a question failed')
    : trans.__('Cellar: the answer is ready');
}

/** The tab comes to the front, the panel is shown. */
function onSeen(panel: Widget, listener: () => void): () => void {
  const hook = (_: unknown, message: Message): boolean => {
    if (message.type === 'after-show') {
      // `isVisible` is true only after the message was handled.
      requestAnimationFrame(listener);
    }
    return true;
  };
  MessageLoop.installMessageHook(panel, hook);
  document.addEventListener('visibilitychange', listener);
  return () => {
    MessageLoop.removeMessageHook(panel, hook);
    document.removeEventListener('visibilitychange', listener);
  };
}
