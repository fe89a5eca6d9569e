// What pages need beside htmx: menus, dialogs, times that go on, and honest words when the server does not answer.
(function () {
  "use strict";

  // --- Menus (details elements): Escape and a click elsewhere close them. ---
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.hub-menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    var menu = event.target.closest ? event.target.closest("details.hub-menu[open]") : null;
    if (!menu) return;
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  });

  // --- The navigation on narrow screens. ---
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-nav-toggle]");
    if (!button) return;
    var open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    document.getElementById(button.getAttribute("aria-controls")).classList.toggle("is-open", open);
  });

  // --- Theme. ---
  function showTheme() {
    document.querySelectorAll("[data-choose-theme]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.chooseTheme === window.hubTheme.chosen()));
    });
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-choose-theme]");
    if (button) window.hubTheme.choose(button.dataset.chooseTheme);
  });
  document.addEventListener("hub:theme", showTheme);

  // --- Dialogs. ---
  document.addEventListener("click", function (event) {
    var opener = event.target.closest("[data-open-dialog]");
    if (opener) {
      document.getElementById(opener.dataset.openDialog).showModal();
      return;
    }
    var closer = event.target.closest("[data-close-dialog]");
    if (closer) closer.closest("dialog").close();
  });
  // One that the server sent open, because it refused what was in it, stands above the page as others do.
  document.querySelectorAll("dialog.confirm[open]").forEach(function (dialog) {
    dialog.close();
    dialog.showModal();
  });

  // --- A form is sent once. The server is safe against twice as well; this is for the eye. ---
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    form.querySelectorAll("button[type=submit]").forEach(function (button) { button.setAttribute("aria-disabled", "true"); });
  });
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach(function (form) {
      delete form.dataset.sent;
      form.querySelectorAll("button[aria-disabled]").forEach(function (button) { button.removeAttribute("aria-disabled"); });
    });
  });

  // --- Filters go off by themselves when a choice changes. ---
  document.addEventListener("change", function (event) {
    var form = event.target.closest("form[data-submit-on-change]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  // --- Times. The server says the instant; the words go on here, by the server's clock. ---
  var serverNow = document.documentElement.dataset.now;
  var ahead = serverNow ? Date.now() - Date.parse(serverNow) : 0;
  function secondsSince(iso) { return (Date.now() - ahead - Date.parse(iso)) / 1000; }

  function elapsed(seconds) {
    var whole = Math.max(0, Math.floor(seconds));
    if (whole < 60) return whole + " s";
    if (whole < 3600) return Math.floor(whole / 60) + " min " + String(whole % 60).padStart(2, "0") + " s";
    return Math.floor(whole / 3600) + " h " + String(Math.floor((whole % 3600) / 60)).padStart(2, "0") + " min";
  }
  function relative(seconds) {
    if (seconds < 5) return "just now";
    if (seconds < 60) return Math.floor(seconds) + " s ago";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min ago";
    if (seconds < 86400) return Math.floor(seconds / 3600) + " h ago";
    var days = Math.floor(seconds / 86400);
    return days < 31 ? days + (days === 1 ? " day ago" : " days ago") : null;
  }
  function tick() {
    document.querySelectorAll("[data-since]").forEach(function (node) {
      var words = elapsed(secondsSince(node.dataset.since));
      if (node.textContent !== words) node.textContent = words;
    });
    document.querySelectorAll("[data-until]").forEach(function (node) {
      // As the template filter `left`: from a day on in days.
      var left = -secondsSince(node.dataset.until), words = left < 86400 ? elapsed(left) : (left / 86400).toFixed(1) + " days";
      if (node.textContent !== words) node.textContent = words;
    });
    document.querySelectorAll("time[data-relative]").forEach(function (node) {
      var words = relative(secondsSince(node.dateTime));
      var target = node.firstElementChild;
      if (words && target && target.textContent !== words) target.textContent = words;
    });
  }
  setInterval(tick, 1000);

  // --- htmx: refusals become notices, silence is said. ---
  document.addEventListener("htmx:beforeSwap", function (event) {
    var xhr = event.detail.xhr;
    if (xhr.status < 400) return;
    event.detail.shouldSwap = Boolean(xhr.getResponseHeader("HX-Retarget"));
    event.detail.isError = !event.detail.shouldSwap;
  });
  var lost = document.getElementById("connection-lost");
  function connected(yes) {
    if (!lost || lost.hidden === yes) return;
    lost.hidden = yes;
    var since = lost.querySelector("[data-since]");
    if (!yes && since) since.dataset.since = new Date(Date.now() - ahead).toISOString();
    tick();
  }
  ["htmx:sendError", "htmx:timeout"].forEach(function (name) { document.addEventListener(name, function () { connected(false); }); });
  document.addEventListener("htmx:afterRequest", function (event) {
    var status = event.detail.xhr ? event.detail.xhr.status : 0;
    if (status >= 500) connected(false);
    else if (status > 0) connected(true);
  });
  document.addEventListener("click", function (event) {
    var closer = event.target.closest("[data-dismiss]");
    if (closer) closer.closest("[role=alert], [role=status]").remove();
  });

  // --- Copying a text. Without a clipboard it is selected, so that the keys of the browser copy it. ---
  function offerCopies() {
    document.querySelectorAll("[data-copy][hidden]").forEach(function (button) { button.hidden = false; });
  }
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) return;
    var source = document.getElementById(button.dataset.copy), status = button.parentNode.querySelector("[role=status]");
    function select() {
      window.getSelection().selectAllChildren(source);
      status.textContent = "It is selected: copy it with the keys of your browser.";
    }
    if (!navigator.clipboard) { select(); return; }
    navigator.clipboard.writeText(source.textContent).then(function () { status.textContent = "Copied."; }, select);
  });
  document.addEventListener("htmx:afterSettle", offerCopies);

  // --- Tables that are wider than their place can be scrolled by keyboard. ---
  function letTablesScroll() {
    document.querySelectorAll(".table-holder:not([role]), .table-holder[data-scrolls]").forEach(function (holder) {
      var scrolls = holder.scrollWidth > holder.clientWidth;
      if (scrolls === ("scrolls" in holder.dataset)) return;
      if (scrolls) {
        holder.dataset.scrolls = "1";
        holder.tabIndex = 0;
        holder.setAttribute("role", "region");
        holder.setAttribute("aria-label", "Table, scrolls sideways");
      } else {
        delete holder.dataset.scrolls;
        ["tabindex", "role", "aria-label"].forEach(function (name) { holder.removeAttribute(name); });
      }
    });
  }
  window.addEventListener("resize", letTablesScroll);

  document.addEventListener("DOMContentLoaded", function () { showTheme(); tick(); letTablesScroll(); offerCopies(); });
})();
