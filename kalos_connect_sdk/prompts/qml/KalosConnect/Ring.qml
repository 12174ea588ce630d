import QtQuick

// Shows where the keyboard or the rotary controller is.
Rectangle {
    required property Shades shades

    anchors { fill: parent; margins: -4 }
    visible: parent.activeFocus
    color: "transparent"
    border { width: 4; color: shades.ring }
    radius: 10
}
