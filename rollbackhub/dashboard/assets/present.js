// The presenter's keys: arrows, space and page keys go on and back, Home and End to the ends, Escape leaves. Every screen is a link of the page.
(function () {
  "use strict";
  var KEYS = { ArrowRight: "next", PageDown: "next", ArrowLeft: "back", PageUp: "back", Home: "first", End: "last" };

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    var at = event.target;
    // Whoever types, or is in a table that scrolls by these keys, means that.
    if (at.closest("input, textarea, select, [contenteditable], .table-holder")) return;
    var where = KEYS[event.key];
    if (event.key === " ") {
      if (at.closest("a, button, summary")) return;
      where = event.shiftKey ? "back" : "next";
    }
    var link = event.key === "Escape" ? document.querySelector("[data-leave]") : where && document.querySelector("[data-go='" + where + "']");
    if (!link) return;
    event.preventDefault();
    link.click();
  });
})();
