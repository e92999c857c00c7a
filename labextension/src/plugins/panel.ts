/** The chat panel in the right area, its command, its settings and the IChat token. */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ISanitizer, Sanitizer } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';

import { Api, requestKey } from '../api';
import { browserChannel } from '../chat/channel';
import { attachedItems } from '../chat/items';
import { browserMemory } from '../chat/memory';
import { ChatStore } from '../chat/store';
import { IChat, type IAskOptions } from '../chat/tokens';
import {
  createComposer,
  type IComposerRoom
} from '../components/composer/bind';
import { attend } from '../components/attention';
import { cellarIcon } from '../components/icons';
import { safeSanitizer } from '../components/markdown/safe';
import type { IMarkdownKit } from '../components/markdown/view';
import {
  Settings,
  Targets,
  type IPanelRoom,
  type IPanelSettings
} from '../components/room';
import { wordedSchema } from '../components/schema';
import { PanelWidget } from '../components/widget';

export const OPEN_CHAT = 'cellar:open-chat';

export const panelPlugin: JupyterFrontEndPlugin<IChat> = {
  id: '@cellar/lab:panel',
  description: 'The Cellar chat panel.',
  autoStart: true,
  provides: IChat,
  requires: [IRenderMimeRegistry],
  optional: [ISanitizer, ITranslator, ISettingRegistry, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    sanitizer: ISanitizer | null,
    translator: ITranslator | null,
    settings: ISettingRegistry | null,
    restorer: ILayoutRestorer | null
  ): IChat => {
    const trans = (translator ?? nullTranslator).load('cellar');
    const api = new Api(app.serviceManager.serverSettings);
    const store = new ChatStore({
      api,
      memory: browserMemory(api.scope),
      channel: browserChannel(api.scope)
    });
    const composer = createComposer(store);
    const targets = new Targets();
    const room: IPanelRoom = {
      trans,
      store,
      kit: {
        ...markdownKit(rendermime, sanitizer ?? new Sanitizer(), trans),
        runs: language => targets.getState().target.runs?.(language) ?? true
      },
      targets,
      settings: new Settings(DEFAULTS),
      compacting: composer.compacting
    };
    room.settings.subscribe(() =>
      composer.model.offerAutomatic(room.settings.getState().autoContext)
    );
    const panel = new PanelWidget({
      room,
      composer,
      files: app.serviceManager.contents
    });
    app.shell.add(panel, 'right', { rank: 900 });
    restorer?.add(panel, panel.id);
    followPage(store);
    const open = () => {
      app.shell.activateById(panel.id);
    };
    const settled = loadSettings(settings, room.settings, trans);
    void app.restored.then(async () => {
      const started = store.start();
      if (await settled) {
        open();
      }
      await started;
    });
    app.commands.addCommand(OPEN_CHAT, {
      label: trans.__('Open the Cellar chat'),
      caption: trans.__('Show the chat panel and put the cursor into it'),
      icon: cellarIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: open
    });
    attend({
      trans,
      store,
      panel,
      wantsNotification: () => room.settings.getState().notifyWhenDone,
      open
    });
    return chatOf(store, composer, room.targets, open);
  }
};

function markdownKit(
  rendermime: IRenderMimeRegistry,
  sanitizer: ISanitizer,
  trans: TranslationBundle
): IMarkdownKit {
  return {
    sanitizer: safeSanitizer(sanitizer, {
      picture: address =>
        trans.__('Pictures from elsewhere are not loaded: %1', address)
    }),
    parser: rendermime.markdownParser,
    typesetter: rendermime.latexTypesetter,
    words: {
      copy: trans.__('Copy'),
      copied: trans.__('Copied'),
      insertAbove: trans.__('Insert above'),
      insertBelow: trans.__('Insert below'),
      replace: trans.__('Replace cell or selection'),
      newCellAndRun: trans.__('New cell and run'),
      newFile: trans.__('New file'),
      code: trans.__('code'),
      definesCommands: trans.__(
        'Not drawn as a formula: it would change the formulas of notebooks and other answers'
      )
    }
  };
}

/** A hidden page polls, a shown one reads on; so does one that is back online. */
function followPage(store: ChatStore): void {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      store.sleep();
    } else {
      void store.wake();
    }
  });
  window.addEventListener('online', () => void store.wake());
  window.addEventListener('pageshow', event => {
    if (event.persisted) {
      void store.wake();
    }
  });
}

const DEFAULTS: IPanelSettings = {
  showReasoning: false,
  sendWith: 'enter',
  notifyWhenDone: false,
  autoContext: true
};

/** Whether the panel shall open by itself. */
async function loadSettings(
  registry: ISettingRegistry | null,
  settings: Settings,
  trans: TranslationBundle
): Promise<boolean> {
  if (!registry) {
    return false;
  }
  try {
    registry.transform(panelPlugin.id, {
      fetch: plugin => ({
        ...plugin,
        schema: wordedSchema(trans, plugin.schema)
      })
    });
    const loaded = await registry.load(panelPlugin.id);
    const read = () =>
      settings.change({
        showReasoning: loaded.get('showReasoning').composite === true,
        sendWith:
          loaded.get('sendWith').composite === 'ctrl-enter'
            ? 'ctrl-enter'
            : 'enter',
        notifyWhenDone: loaded.get('notifyWhenDone').composite === true,
        autoContext: loaded.get('autoContext').composite !== false
      });
    settings.store = (name, value) => loaded.set(name, value);
    loaded.changed.connect(read);
    read();
    return loaded.get('openAtStart').composite === true;
  } catch (error) {
    console.warn('Cellar: the settings could not be read.', error);
    return false;
  }
}

function chatOf(
  store: ChatStore,
  composer: IComposerRoom,
  targets: Targets,
  open: () => void
): IChat {
  return {
    open,
    ask: async (options: IAskOptions) => {
      if (options.newConversation) {
        store.newConversation();
      }
      open();
      const items = options.context ?? [];
      if (!options.send) {
        composer.model.add(items);
        composer.model.propose(options.text);
        return;
      }
      const taken = {
        key: requestKey(),
        conversation: store.getState().conversationId,
        text: options.text,
        items,
        // What is offered by itself travels too, as if it had been typed here.
        attached: attachedItems({ ...composer.model.getState(), items })
      };
      try {
        await composer.ask(taken, { now: false });
      } catch (error) {
        store.notify(error);
      }
    },
    newConversation: () => {
      store.newConversation();
      open();
    },
    stop: () => store.stop(),
    addContext: items => {
      open();
      composer.model.add(items);
    },
    addSource: source => composer.model.sources.add(source),
    setCodeTargets: code => targets.use(code)
  };
}
