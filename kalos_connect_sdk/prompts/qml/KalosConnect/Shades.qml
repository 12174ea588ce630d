import QtQuick

// The colours of both themes, those of the web page. Every pair of ink and ground is at least 4.5:1.
QtObject {
    required property bool night

    readonly property color ground: night ? "#0d1116" : "#ffffff"
    readonly property color ink: night ? "#eef2f6" : "#14181d"
    readonly property color quiet: night ? "#b4bfca" : "#46505c"
    readonly property color line: night ? "#8b97a4" : "#6b7683"
    readonly property color panel: night ? "#1a2129" : "#f1f4f7"
    readonly property color button: night ? "#a9c7f2" : "#1d4f91"
    readonly property color buttonInk: night ? "#0d1b2e" : "#ffffff"
    readonly property color ring: night ? "#ffb27a" : "#b3541e"
}
